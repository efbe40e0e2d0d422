import { describe, expect, test } from "bun:test";
import { runsOf, statusOf } from "../../src/report/read.ts";
import { done, lines, start, step } from "./logs.ts";

describe("a run that was killed and resumed", () => {
  const resumed = { ...start, options: { ...start.options, resume: true } };
  const held = (n: number, value: number, group?: string) => ({
    event: "eval",
    step: n,
    name: "loss",
    ...(group ? { group } : {}),
    value,
  });
  const loss = (events: readonly unknown[]) => runsOf("a.jsonl", lines(events))[0]!.series.get("loss")!;
  const first = [start, step(1, 9), step(2, 8), step(3, 7), held(3, 70), step(4, 6)];

  test("says each step once, by the later word, on every axis", () => {
    const [run, ...others] = runsOf("a.jsonl", lines([...first, resumed, step(3, 5), held(3, 50), step(4, 4), done]));
    expect(others).toEqual([]);
    // The second process took 0.3 and 0.4 seconds of its own, after 0.4 of the first.
    expect(run!.series.get("loss")).toEqual({
      step: [1, 2, 3, 4],
      seconds: [0.1, 0.2, 0.7, 0.8],
      tokens: [100, 200, 300, 400],
      value: [9, 8, 5, 4],
    });
    expect(run!.series.get("eval loss")).toMatchObject({ step: [3], value: [50] });
    expect([run!.step, run!.seconds, statusOf(run!)]).toEqual([4, 0.8, "ok"]);
  });

  test("says it too where its second start line is lost, or it was resumed twice", () => {
    expect(loss([...first, step(2, 5), step(3, 4)])).toMatchObject({ step: [1, 2, 3], seconds: [0.1, 0.6, 0.7] });
    const twice = loss([...first, resumed, step(4, 5), resumed, step(3, 3), step(4, 2)]);
    expect(twice).toMatchObject({ step: [1, 2, 3, 4], value: [9, 8, 3, 2] });
  });

  test("forgets what was measured at steps that were done again", () => {
    const [run] = runsOf("a.jsonl", lines([...first, held(4, 3, "a"), held(4, 4, "b"), resumed, step(3, 5)]));
    expect([...run!.series.keys()]).toEqual(["loss", "lr"]);
    // Every tenth step is logged, every second measured: the first word after the resume is of a measurement.
    const sparse = [start, step(10, 1), held(12, 1, "a"), held(12, 2, "b"), held(14, 3, "a"), step(20, 2)];
    const again = [resumed, held(12, 5, "a"), held(12, 6, "b")];
    const [rare] = runsOf("a.jsonl", lines([...sparse, ...again]));
    expect(rare!.series.get("loss")!.step).toEqual([10]);
    expect(rare!.series.get("eval loss (a)")).toMatchObject({ step: [12], value: [5] });
    expect(rare!.series.get("eval loss (b)")).toMatchObject({ step: [12], value: [6] });
  });

  test("is unfinished again while it goes on, and says its warnings once", () => {
    const stopped = [
      { event: "warning", text: "w" },
      { event: "end", ok: false, error: "interrupted" },
    ];
    const [run] = runsOf("a.jsonl", lines([...first, ...stopped, resumed, stopped[0], step(5, 1)]));
    expect([statusOf(run!), run!.warnings]).toEqual(["unfinished", ["w"]]);
  });

  test("is not the next run of another kind or to another place that may be resumed", () => {
    for (const other of [
      { ...resumed, script: "unlearn" },
      { ...resumed, options: { ...resumed.options, out: "other/" } },
    ])
      expect(runsOf("a.jsonl", lines([...first, other, step(1, 3)]))).toHaveLength(2);
  });
});
