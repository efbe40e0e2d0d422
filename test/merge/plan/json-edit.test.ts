import { expect, test } from "bun:test";
import fc from "fast-check";
import { editJson } from "../../../src/merge/plan/json-edit.ts";

test("one value changes and every other character stays", () => {
  const text = '{ "a" : 10000.0,"b":{"a":[1,{"b":"}\\""}] , "c":1e-05},\n\t"c":null}';
  expect(editJson(text, ["c"], 7)).toBe(text.replace("null", "7"));
  expect(editJson(text, ["b", "c"], "x")).toBe(text.replace("1e-05", '"x"'));
  expect(editJson(text, ["a"], [1])).toBe(text.replace("10000.0", "[1]"));
});

test("a missing key is added in the style of its object", () => {
  expect(editJson('{\n  "a": 1\n}\n', ["b"], true)).toBe('{\n  "a": 1,\n  "b": true\n}\n');
  expect(editJson('{"a":{}}', ["a", "b"], 1)).toBe('{"a":{"b": 1}}');
  expect(() => editJson('{"a":1}', ["a", "b"], 1)).toThrow("no object a");
});

test("agrees with setting the value in the parsed object", () => {
  const key = fc.string({ maxLength: 4 }).filter((text) => text !== "__proto__");
  const object = fc.dictionary(key, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 5, noNullPrototype: true });
  fc.assert(
    fc.property(
      object,
      key,
      fc.jsonValue({ maxDepth: 1 }),
      fc.constantFrom(undefined, 1, "\t"),
      (start, name, value, indent) => {
        const plain = JSON.parse(JSON.stringify(start));
        const edited = editJson(JSON.stringify(plain, null, indent), [name], value);
        expect(JSON.parse(edited)).toEqual(JSON.parse(JSON.stringify({ ...plain, [name]: value })));
      },
    ),
  );
});
