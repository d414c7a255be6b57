import time

import django

django.setup()

from reviews.models import Review  # noqa: E402  # a model needs Django to be set up

WORTH = {"good": 1, "great": 2, "bad": -1}

while True:
    for review in Review.objects.filter(score=None):
        review.score = sum(WORTH.get(word, 0) for word in review.text.split())
        review.save()
        print("scored", review.text, review.score)
    time.sleep(0.5)
