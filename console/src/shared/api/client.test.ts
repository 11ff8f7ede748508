import { expect, test } from "vitest";
import { answer, ApiProblem } from "./client";

const respond = (status: number, fields: object) => Promise.resolve({ response: new Response(null, { status }), ...fields });

test("data comes through", async () => {
  await expect(answer(respond(200, { data: { n: 1 } }))).resolves.toEqual({ n: 1 });
});

test("a problem document becomes an error with its sentence, code and fields", async () => {
  const error = { title: "Not found", detail: "Device x is not registered.", code: "device.unknown", retry: "never", errors: [{ where: "body.id", message: "no" }] };
  const problem = await answer(respond(404, { error })).catch((caught: unknown) => caught);
  expect(problem).toBeInstanceOf(ApiProblem);
  expect(problem).toMatchObject({ status: 404, code: "device.unknown", message: error.detail, fields: error.errors });
});

test("no answer at all is a problem that may pass", async () => {
  const problem = await answer(Promise.reject(new TypeError("Failed to fetch"))).catch((caught: unknown) => caught);
  expect(problem).toMatchObject({ status: 0, code: "console.no_answer", retry: "later" });
});

test("an error without a body still says its status", async () => {
  const problem = await answer(respond(502, {})).catch((caught: unknown) => caught);
  expect(problem).toMatchObject({ status: 502, code: "http.502", message: "HTTP 502", retry: "later" });
});
