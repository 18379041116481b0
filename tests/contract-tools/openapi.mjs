// Checks the OpenAPI document against the schema of OpenAPI itself.
//
// usage: node openapi.mjs <openapi.json>

import { Validator } from "@seriousme/openapi-schema-validator";
import { readFileSync } from "node:fs";

const validator = new Validator();
const found = await validator.validate(JSON.parse(readFileSync(process.argv[2], "utf8")));
if (!found.valid) {
  console.error(JSON.stringify(found.errors, null, 2));
  process.exit(1);
}
console.log(`valid, OpenAPI ${validator.version}`);
