/** What stands twice in a list. */
import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { repeated } from "../../src/text/repeated.ts";

test("the later of two that are alike, in the spelling that it has", () => {
  expect(repeated([])).toBeUndefined();
  expect(repeated(["a", "b", "ab"])).toBeUndefined();
  expect(repeated(["a", "b", "b", "a"])).toBe("b");
  expect(repeated(["a", "./a/"])).toBeUndefined();
  expect(repeated(["a", "b", "./a/"], (text) => resolve(text))).toBe("./a/");
});
