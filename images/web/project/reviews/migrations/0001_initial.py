from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel(
            "Review",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("text", models.TextField()),
                ("score", models.IntegerField(null=True)),
            ],
        )
    ]
