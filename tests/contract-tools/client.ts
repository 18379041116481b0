// A program as somebody would write it on the generated types. It has to compile, and to work with a running server.
// A line after `@ts-expect-error` must not compile: that is what the types are for.
//
// usage: node client.js <url>

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Schemas = components["schemas"];

declare const process: { argv: [string, string, string] };

const client = createClient<paths>({ baseUrl: process.argv[2] });

const customerId = "7f6c1b52-41f7-4c57-9a0e-2f0d6c1f5a11";

const draft: Schemas["OrderDraft"] = {
  customerId,
  currency: "EUR",
  items: [{ sku: "PIZZA-MARGHERITA", quantity: 2, unitPrice: 950 }],
  address: { street: "Unter den Linden 1", city: "Berlin", postalCode: "10117", country: "DE", lat: 52.5, lon: 13.4 },
};

// @ts-expect-error there is no such status
const wrong: Schemas["OrderStatus"] = "SHIPPED";
// @ts-expect-error a line needs its price
const line: Schemas["OrderLine"] = { sku: "COLA-330", quantity: 1 };
// @ts-expect-error there is no such code of a problem
const code: Schemas["ProblemCode"] = "out-of-order";
// @ts-expect-error the first version has no status before it, and every update says so
const update: Schemas["UpdateMessage"] = { type: "update", orderId: "", version: 1, status: "PENDING", at: "", by: "" };

/** What a page shows of a message. The choice has every type, or this doesn't compile. */
function shown(message: Schemas["SocketMessage"]): string {
  switch (message.type) {
    case "snapshot":
      return message.order.status;
    case "update":
      return `${message.previousStatus ?? "nothing"} to ${message.status}`;
    case "location":
      return `${message.lat}, ${message.lon}`;
    case "error":
      return message.problem.code;
  }
}

function expect(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`not as expected: ${what}`);
}

const key = { "Idempotency-Key": crypto.randomUUID() };
const placed = await client.POST("/api/v1/orders", { params: { header: key }, body: draft });
expect(placed.data !== undefined, JSON.stringify(placed.error));
const first: 1 | number = placed.data.version;
expect(first === 1 && placed.response.headers.get("ETag") === '"1"', "the first version");
const status: Schemas["OrderStatus"] = placed.data.status;
expect(status === "PENDING", status);

const again = await client.POST("/api/v1/orders", { params: { header: key }, body: draft });
expect(again.data?.id === placed.data.id, "a repeat is the same order");
expect(again.response.headers.get("Idempotency-Replayed") === "true", "a repeat is marked");

const path = { id: placed.data.id };
const got = await client.GET("/api/v1/orders/{id}", { params: { path } });
expect(got.data?.items[0]?.unitPrice === 950, "the order is shown");

const listed = await client.GET("/api/v1/orders", {
  params: { query: { status: ["PENDING", "CONFIRMED", "REJECTED"], customerId, limit: 10 } },
});
expect(listed.data?.items.some((order) => order.id === path.id) ?? false, "the order is listed");

const refused = await client.PUT("/api/v1/orders/{id}/status", { params: { path }, body: { status: "DELIVERED" } });
const problem: Schemas["Problem"] | undefined = refused.error;
expect(problem?.code === "illegal-step" && problem.allowed !== undefined, JSON.stringify(problem));

const unknown = await client.GET("/api/v1/orders/{id}", { params: { path: { id: crypto.randomUUID() } } });
expect(unknown.error?.code === "order-not-found", "an unknown order");

const told = shown({ type: "snapshot", orderId: path.id, version: 1, order: placed.data });
console.log(`placed, repeated, shown, listed and refused: ${told}`);
