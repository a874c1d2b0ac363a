"""A first session with kinto_http, the Python client: write, read, list, update, delete, sync.

pip install kinto-http
python examples/first_session.py [http://127.0.0.1:8888/v1]
"""

import sys
from uuid import uuid4

from kinto_http import Client

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8888/v1"
alice = Client(server_url=url, auth=("alice", "secret"), bucket=f"blog-{uuid4().hex[:8]}")
alice.create_bucket(permissions={"read": ["system.Everyone"]})
alice.create_collection(id="posts")
print("Created bucket", alice.bucket_name, "with the collection posts")

posts = alice.clone(collection="posts")
first = posts.create_record(data={"title": "Hello", "tags": ["news"]})["data"]
second = posts.create_record(data={"title": "World"})["data"]
print("Wrote", posts.get_record(id=first["id"])["data"]["title"], "and", second["title"])
print("Listed", [record["title"] for record in posts.get_records()])

# Another client reads all of it, and remembers how far it has come.
reader = Client(server_url=url, auth=("bob", "b"), bucket=alice.bucket_name, collection="posts")
seen = reader.get_records_timestamp()  # first, so that no change falls between the two
copy = {record["id"]: record for record in reader.get_records()}
print("The other client has", len(copy), "records as of", seen)

first = posts.patch_record(id=first["id"], data={"title": "Hello again"})["data"]
posts.delete_record(id=second["id"], if_match=second["last_modified"])
print("Updated", first["title"], "and deleted", second["title"])

for change in reader.get_records(_since=seen):
    if change.get("deleted"):
        print("The other client drops", copy.pop(change["id"])["title"])
    else:
        copy[change["id"]] = change
        print("The other client takes", change["title"])

alice.delete_bucket()
print("Deleted bucket", alice.bucket_name)
