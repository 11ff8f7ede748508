import { expect, test } from "vitest";
import { readParameters } from "./device-commands";

test("parameters are a JSON object, nothing is an empty one", () => {
  expect(readParameters('{"on": true}')).toEqual({ on: true });
  expect(readParameters("  ")).toEqual({});
});

test.each(["[1]", "3", "null", "{on: true}", "{"])("%s is no set of parameters", (text) => {
  expect(readParameters(text)).toBeNull();
});
