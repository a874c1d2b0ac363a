"""What no service of this kind can go below: Chalice, a client of DynamoDB, and one read by it.

It runs by itself, as a function does, without anything of ours.
"""

import json
import os
from typing import Any

import botocore.session
from chalice.app import Chalice

app = Chalice(app_name="floor")
client = botocore.session.get_session().create_client("dynamodb")


@app.route("/{proxy+}")
def answer() -> dict[str, Any]:
    """Answer with the items."""
    found: dict[str, Any] = client.batch_get_item(
        RequestItems=json.loads(os.environ["REQUEST_ITEMS"])
    )
    return {"data": found["Responses"]}
