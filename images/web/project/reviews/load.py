from urllib.request import urlopen

for text in ("good", "great", "bad"):
    print(text, urlopen(f"http://web:8000/add/{text}").read().decode().strip())
