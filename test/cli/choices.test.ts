/** How the options of chosen methods join a table, and what they are refused for. */
import { describe, expect, test } from "bun:test";
import { bindPicks, type Choice, optionsOf, withPicks } from "../../src/cli/choices.ts";
import { anyOf, checkRequirements } from "../../src/cli/requirements.ts";
import type { Options } from "../../src/method/options.ts";
import type { MethodInfo } from "../../src/method/registry.ts";

const method = (name: string, options: Options): MethodInfo => ({ name, title: "", about: "", cite: "", options });
const choice = (option: string, ...methods: MethodInfo[]): Choice => ({
  option,
  source: "metric",
  methods,
  said: true,
});
const NUMBER = { type: "number", help: "a number" } as const;
const TABLE: Options = {
  first: { type: "string", kind: "optimizer", optionsAfter: "second", help: "one" },
  between: NUMBER,
  second: { type: "string", kind: "schedule", help: "another" },
  last: NUMBER,
};

describe("options of chosen methods", () => {
  const a = method("a", { k: { ...NUMBER, default: 1 } });
  const b = method("b", { k: { ...NUMBER, default: 2 }, only: NUMBER });

  test("stand after the option that names them, or after the one it says", () => {
    const picks = [
      choice("first", method("f", { of_first: NUMBER })),
      choice("second", method("s", { of_second: NUMBER })),
    ];
    expect(Object.keys(withPicks(TABLE, picks))).toEqual([
      "first",
      "between",
      "second",
      "of_second",
      "of_first",
      "last",
    ]);
  });

  test("that several methods have are one option, with each method's own default", () => {
    const picks = [choice("second", a, b)];
    expect(withPicks(TABLE, picks).k).toEqual(NUMBER);
    expect<unknown>(bindPicks(picks, {}).second!.map(({ values }) => values)).toEqual([{ k: 1 }, { k: 2 }]);
    expect<unknown>(bindPicks(picks, { k: 0 }).second!.map(({ values }) => values)).toEqual([{ k: 0 }, { k: 0 }]);
  });

  test("of another type, or of the name of a script's option, are mistakes in the source", () => {
    expect(() => optionsOf([a, method("c", { k: { type: "string", help: "a text" } })])).toThrow(
      "option k of c has another type than in a",
    );
    expect(() => withPicks(TABLE, [choice("first", method("f", { last: NUMBER }))])).toThrow(
      "option last is defined twice",
    );
  });
});

describe("requirements", () => {
  const table: Options = {
    rank: { ...NUMBER, default: 16, needs: ["lora", "dora"] },
    focus: { ...NUMBER, with: { loss: ["focal", "other"] }, needs: "replay" },
  };
  const check = (values: Record<string, unknown>) => () => checkRequirements(table, values);

  test("are met by any of the options named, or by a value of another", () => {
    for (const values of [
      {},
      { rank: 16 },
      { rank: 3, dora: true },
      { focus: 1, loss: "other" },
      { focus: 1, replay: "x" },
    ])
      expect(check(values)).not.toThrow();
  });

  test("are missed where the other is off, empty or has another value", () => {
    expect(check({ rank: 3, lora: false })).toThrow("--rank has no effect without --lora or --dora");
    expect(check({ focus: 1, loss: "mean", replay: "" })).toThrow(
      "--focus has no effect without --replay, --loss focal or other",
    );
  });

  test("are named as people list things", () => {
    expect([anyOf(["a"]), anyOf(["a", "b"]), anyOf(["a", "b", "c"])]).toEqual(["a", "a or b", "a, b or c"]);
  });
});
