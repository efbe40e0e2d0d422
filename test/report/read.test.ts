import { describe, expect, test } from "bun:test";
import { toHtml } from "../../src/report/page/page.ts";
import { differences, metricsOf, runsOf, statusOf, thinned } from "../../src/report/read.ts";
import { toSummary } from "../../src/report/summary.ts";
import { toCsv, toMarkdown } from "../../src/report/tables.ts";
import { done, lines, log, runs, start, step } from "./logs.ts";

describe("a log", () => {
  test("gives its curves, with gaps where a value is no number", () => {
    const [run] = runsOf("x/run.jsonl", log);
    expect(run!.name).toBe("run");
    expect(run!.series.get("loss")).toEqual({
      step: [1, 2, 3],
      seconds: [0.1, 0.2, 0.3],
      tokens: [100, 200, 300],
      value: [3, Number.NaN, 1],
    });
    expect(metricsOf([run!])).toEqual(["loss", "eval loss (a)", "lr"]);
    expect(statusOf(run!)).toBe("ok");
  });

  test("may be cut at its end; other lines that are no JSON are named", () => {
    const [cut] = runsOf("a", `${log}\n{"event":"st`);
    expect(cut!.bad).toEqual([]);
    const [bad] = runsOf("a", `${lines([start])}\nnonsense\n[1]\n${lines([step(1, 2)])}\n`);
    expect(bad!.bad).toEqual([2, 3]);
    expect(statusOf(bad!)).toBe("unfinished");
  });

  test("of a run that was resumed is one run; of two runs it is two", () => {
    const resumed = { ...start, options: { ...start.options, resume: true } };
    expect(runsOf("a.jsonl", lines([start, step(1, 3), resumed, step(2, 2), done]))).toHaveLength(1);
    expect(runsOf("a.jsonl", `${log}\n${log}`).map(({ name }) => name)).toEqual(["a 1", "a 2"]);
  });

  test("whose start line stands behind a piece of a line holds that run too", () => {
    const found = runsOf("a.jsonl", `${lines([start, step(1, 3)])}\n{"event":"st${log}`);
    expect(found.map(({ bad, series }) => [bad, series.get("loss")!.step])).toEqual([
      [[3], [1]],
      [[3], [1, 2, 3]],
    ]);
  });

  test("that is none is refused", () => {
    expect(() => runsOf("a.bin", "\x00\x01")).toThrow("a.bin is not a log: it has no start event");
    expect(() => runsOf("a.jsonl", " \n")).toThrow("a.jsonl is empty");
  });
});

test("long curves keep their peaks", () => {
  const value = Array.from({ length: 100_000 }, (_, i) => (i === 54_321 ? 9 : i === 777 ? -9 : Math.sin(i / 5000)));
  const at = value.map((_, i) => i);
  const few = thinned({ step: at, seconds: at, tokens: at, value }, 500);
  expect(few.value.length).toBeLessThanOrEqual(510);
  expect(Math.max(...few.value)).toBe(9);
  expect(Math.min(...few.value)).toBe(-9);
  expect(few.step).toEqual([...few.step].sort((a, b) => a - b));
});

test("options that differ are told, equal ones and names of results are not", () => {
  expect(differences(runs)).toEqual([{ option: "lr", values: [0.1, 0.2] }]);
});

test("options of one script among several are told where they differ between its runs", () => {
  const of = (script: string, options: Record<string, unknown>) =>
    runsOf(`${script}.jsonl`, lines([{ ...start, script, options }, done]));
  const [train, tune, unlearn] = [
    of("train", { lr: 1, pack: true }),
    of("train", { lr: 1 }),
    of("unlearn", { lr: 2, rho: 3 }),
  ];
  const told = (...given: ReturnType<typeof of>[]) => differences(given.flat()).map(({ option }) => option);
  expect(told(train, unlearn)).toEqual(["lr"]);
  expect(told(train, tune, unlearn)).toEqual(["lr", "pack"]);
});

test("no field of a log can be what a text cannot be made of", () => {
  const odd = '{"toString":1,"valueOf":2}';
  const fields = ["script", "method", "seed", "device", "time", "version", "inputs", "options", "out", "state"];
  const start = `{"event":"start",${fields.map((key) => `"${key}":[${odd}]`).join(",")}}`;
  const plain = `{"event":"start",${fields.map((key) => `"${key}":${odd}`).join(",")}}`;
  const lines = [
    `{"event":"eval","step":1,"name":${odd},"group":${odd},"value":1}`,
    `{"event":"result","value":{"rows":[{"metric":${odd},"value":[${odd}]}]}}`,
    `{"event":"warning","text":${odd}}`,
    `{"event":"end","ok":false,"error":${odd},"out":${odd}}`,
  ];
  for (const first of [start, plain]) {
    const runs = [...runsOf("a.jsonl", [first, ...lines].join("\n")), ...runsOf("b.jsonl", start)];
    for (const text of [toMarkdown(runs), toCsv(runs), toHtml(runs), JSON.stringify(toSummary(runs))])
      expect(text).toContain("toString");
  }
});
