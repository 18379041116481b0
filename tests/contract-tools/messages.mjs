// Compares what the code really encodes with the schemas of the AsyncAPI document. The encodings are those that the
// unit tests compare with: the snapshots beside `src/codec` and `src/api/track`.
//
// usage: node messages.mjs <asyncapi.json> <src>

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Parser } from "@asyncapi/parser";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const [file, src] = process.argv.slice(2);
const text = readFileSync(file, "utf8");

const { document, diagnostics } = await new Parser().parse(text);
// That the document is of version 3.0 and not of a later one is no fault.
const faults = diagnostics.filter((one) => one.code !== "asyncapi-latest-version" && one.severity <= 1);
for (const one of faults) console.error(`asyncapi.json: ${one.path.join("/")}: ${one.message}`);
if (!document) throw new Error("the parser doesn't accept the document");

const api = JSON.parse(text);
const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats.default(ajv);
// Formats of numbers are for generators.
for (const format of ["int32", "int64", "double"]) ajv.addFormat(format, true);
ajv.addSchema(api, "api");
const ref = (name) => ({ $ref: `api#/components/${name}` });
const payload = (name) => ref(`messages/${name}/payload`);

let failures = faults.length;
let count = 0;
function check(where, schema, value) {
  count += 1;
  const validate = ajv.compile(schema);
  if (validate(value)) return;
  failures += 1;
  console.error(`${where}: ${ajv.errorsText(validate.errors)}`);
}

function published(where, body) {
  // Headers, an empty line and the body; a snapshot may have several messages.
  const parts = body.split("\n\n");
  for (let index = 0; index + 1 < parts.length; index += 2) {
    const lines = parts[index].trim().split("\n");
    const headers = Object.fromEntries(lines.map((line) => line.split(/: (.*)/s).slice(0, 2)));
    check(`${where}, headers`, ref(`messages/${headers.ce_type}/headers`), headers);
    check(where, payload(headers.ce_type), JSON.parse(parts[index + 1].split("\n")[0]));
  }
}

for (const folder of ["codec/snapshots", "api/track/snapshots"]) {
  for (const name of readdirSync(join(src, folder))) {
    const [, kind] = name.match(/__(live|messages|stock|tracking)__tests__/) ?? [];
    const [, , body] = readFileSync(join(src, folder, name), "utf8").split(/^---\n/m);
    if (name.includes("fulfillment_update")) {
      check(name, payload("FULFILLMENT_UPDATES"), JSON.parse(body));
    } else if (kind === "live") {
      for (const choice of ["SocketMessage", "OrderEvent"]) check(name, ref(`schemas/${choice}`), JSON.parse(body));
    } else if (kind === "tracking") {
      check(name, ref("schemas/TrackingEvent"), JSON.parse(body));
    } else if (folder.startsWith("api/track")) {
      check(name, ref("schemas/SocketMessage"), JSON.parse(body));
    } else if (kind) {
      published(name, body.trim());
    }
  }
}

// A schema that accepts everything would pass too.
const stranger = ajv.compile(ref("schemas/SocketMessage"));
if (stranger({ type: "update", orderId: "x" })) throw new Error("the schema accepts anything");
if (count < 20) throw new Error(`only ${count} encodings were found`);
console.log(`${count} encodings, ${failures} failures`);
process.exit(failures === 0 ? 0 : 1);
