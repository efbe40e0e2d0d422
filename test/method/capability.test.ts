import { expect, test } from "bun:test";
import { type Capability, has, methodsFor, withCapabilityOptions } from "../../src/method/capability.ts";

const cache: Capability = { name: "cache", options: { cache: { type: "string", help: "where it is" } } };
const method = {
  name: "mine",
  options: { beta: { type: "number", default: 1, help: "strength" } },
  needs: [cache],
};

test("a method has the options of its capabilities after its own", () => {
  const { options, name } = withCapabilityOptions(method);
  expect(Object.keys(options)).toEqual(["beta", "cache"]);
  expect(name).toBe("mine");
  expect(withCapabilityOptions({ options: method.options })).toEqual({ options: method.options });
});

test("a method has the capabilities that it names", () => {
  expect(has(method, cache)).toBe(true);
  expect(has(method, { ...cache, name: "other" })).toBe(false);
  expect(has({}, cache)).toBe(false);
});

test("names of the methods that fit, for hints", async () => {
  expect(await methodsFor("smoothing", ({ name }) => name === "sam")).toBe("sam");
  expect(await methodsFor("smoothing", ({ name }) => ["sam", "gp", "wa"].includes(name))).toBe("gp, sam or wa");
  expect(await methodsFor("smoothing", () => false)).toBe("");
});
