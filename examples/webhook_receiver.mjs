// A receiver of webhooks: prints what has changed. `SECRET=whsec_… node webhook_receiver.mjs`.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from(process.env.SECRET.replace(/^whsec_/, ""), "base64");
const MAX_BYTES = 1_000_000; // of an event; only one before the commit may be larger

/** Whether a body was signed with our secret, and just now. */
function isSigned(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": time, "webhook-signature": signatures } = headers;
  if (!id || !signatures || !(Math.abs(Date.now() / 1000 - time) < 300)) return false;
  const expected = createHmac("sha256", key).update(`${id}.${time}.`).update(body).digest();
  return signatures.split(" ").some((signature) => {
    const [version, text] = signature.split(",");
    const given = Buffer.from(text ?? "", "base64");
    return version === "v1" && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

/** Take an event, and answer. */
async function take(request, response) {
  const bytes = Number(request.headers["content-length"] ?? NaN);
  if (!(bytes <= MAX_BYTES)) {
    response.writeHead(Number.isNaN(bytes) ? 411 : 413).end();
    return;
  }
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk); // fails where the sender goes away
  const body = Buffer.concat(chunks); // as it came: JSON written anew has another signature
  if (!isSigned(request.headers, body)) {
    response.writeHead(401).end();
    return;
  }
  const event = JSON.parse(body);
  response.writeHead(204).end(); // soon: put what takes long into a queue of your own
  for (const record of event.impacted_records ?? event.read_records) {
    console.log(event.action, event.uri, JSON.stringify(record));
  }
}

createServer((request, response) => {
  take(request, response).catch((error) => {
    console.error(error.message); // and go on: not caught, it would end the process
    if (!response.headersSent) response.writeHead(400).end();
  });
}).listen(Number(process.env.PORT ?? 9000), "127.0.0.1");
