from pathlib import Path

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "db",
        "NAME": "postgres",
        "USER": "postgres",
        "PASSWORD": Path("/run/secrets/db-password").read_text().strip(),
    }
}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://cache"}}
INSTALLED_APPS = ["reviews"]
ROOT_URLCONF = "reviews.views"
ALLOWED_HOSTS = ["localhost", "web"]
SECRET_KEY = "for development only"  # signs sessions, of which this service has none
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
