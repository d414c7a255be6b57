import os

from django.core.cache import cache
from django.http import HttpResponse
from django.urls import path

from reviews.models import Review

GREETING = "version 1"


def home(request):
    cache.add("hits", 0, timeout=None)
    hits = cache.incr("hits")
    scored = Review.objects.exclude(score=None).count()
    return HttpResponse(f"{GREETING}: {scored} reviews, visit {hits}, {os.environ['MODE']}\n")


def add(request, text):
    Review.objects.create(text=text)
    return HttpResponse("queued\n")


urlpatterns = [path("", home), path("add/<text>", add)]
