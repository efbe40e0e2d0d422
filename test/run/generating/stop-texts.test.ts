import { expect, test } from "bun:test";
import { checkStops, cutAtStop, stopIn } from "../../../src/run/generating/stop-texts.ts";

test("an answer ends before the first of its stop texts", () => {
  expect(stopIn("a;b\nc", ["\n", ";"])).toBe(1);
  expect(cutAtStop("a;b\nc", ["\n", ";"])).toBe("a");
  expect(cutAtStop("abc", ["\n"])).toBe("abc");
  expect(cutAtStop("abc", [])).toBe("abc");
});

test("an empty stop text is refused", () => {
  expect(() => checkStops(["\n", ""])).toThrow("--stop is empty");
  expect(() => checkStops(undefined)).not.toThrow();
});
