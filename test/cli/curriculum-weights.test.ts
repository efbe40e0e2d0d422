/** What rows weigh in the loss of a curriculum, as a user sets it. */
import { describe, expect, test } from "bun:test";
import { COUNTED, type Event, openLab, RUN } from "./curriculum-lab.ts";

const lab = openLab();

describe("what rows weigh", () => {
  const line = `model --data a=a.jsonl --data c=c.jsonl --method stratified ${RUN} --steps 6`;
  /** Rows of either group in a batch of 4, from the tokens that count. */
  const rowsOf = ({ counted }: Event) => {
    const a = [0, 1, 2, 3, 4].find((n) => n * COUNTED.a + (4 - n) * COUNTED.c === counted)!;
    return { a, c: 4 - a };
  };
  const of = (step: Event) => ({ a: (step["loss.a"] ?? 0) as number, c: (step["loss.c"] ?? 0) as number });

  const taskLoss = (kind: string) => lab.once(`${line} --task-loss ${kind} --log ${kind}.log -o ${kind}/`);

  test("--task-loss: the mean over tokens, rows, or groups first", async () => {
    const kinds = ["token-mean", "sample-mean", "task-token-mean", "task-sample-mean"];
    await Promise.all([
      ...kinds.map((kind) => taskLoss(kind)),
      lab.succeeds(`${line} --task-loss task-focal --focus 0 -o focal-0/`),
      lab.succeeds(`${line} --task-loss task-focal --log focal.log -o focal/`),
    ]);
    const drawn = lab.events("token-mean.log", "step").map(rowsOf);
    expect(drawn.some(({ a, c }) => a > 0 && c > 0 && a !== c)).toBe(true);
    const mean = {
      "token-mean": (n: { a: number; c: number }) => ({ a: n.a * COUNTED.a, c: n.c * COUNTED.c }),
      "sample-mean": (n: { a: number; c: number }) => n,
      "task-token-mean": (n: { a: number; c: number }) => ({ a: Number(n.a > 0), c: Number(n.c > 0) }),
      "task-sample-mean": (n: { a: number; c: number }) => ({ a: Number(n.a > 0), c: Number(n.c > 0) }),
    };
    for (const [kind, weigh] of Object.entries(mean)) {
      for (const [i, step] of lab.events(`${kind}.log`, "step").entries()) {
        const [w, l] = [weigh(drawn[i]!), of(step)];
        const expected = (w.a * l.a + w.c * l.c) / (w.a + w.c);
        expect(Math.abs((step.loss as number) - expected)).toBeLessThan(1e-5);
      }
    }
    expect(await lab.apart("token-mean", "sample-mean")).toBeGreaterThan(1e-4);
    expect(await lab.apart("sample-mean", "task-token-mean")).toBeGreaterThan(1e-4);
    // As many tokens count in every row of a group.
    expect(await lab.apart("task-token-mean", "task-sample-mean")).toBeLessThan(1e-5);
    expect(await lab.apart("task-sample-mean", "focal-0")).toBeLessThan(1e-5);
    expect(await lab.apart("task-sample-mean", "focal")).toBeGreaterThan(1e-4);
    expect(lab.losses("focal.log")[0]!).toBeLessThan(lab.losses("task-sample-mean.log")[0]!);
  }, 120_000);

  test("--sample-weight: far from any temperature it is the mean over rows", async () => {
    const kinds = ["linupper", "quadratic", "extremes"];
    const weighed = "--reweight-temp 0.3 --reweight-warmup 0.34";
    await Promise.all([
      taskLoss("sample-mean"),
      lab.succeeds(`${line} --sample-weight linupper --reweight-temp 1e12 -o even/`),
      ...kinds.map((kind) => lab.succeeds(`${line} --sample-weight ${kind} ${weighed} --log ${kind}.log -o ${kind}/`)),
    ]);
    expect(await lab.apart("sample-mean", "even")).toBeLessThan(1e-5);
    for (const kind of kinds) {
      // Two steps of warm-up out of six.
      const plain = lab.losses("sample-mean.log");
      for (const [i, loss] of lab.losses(`${kind}.log`).entries()) {
        if (i < 2) expect(Math.abs(loss - plain[i]!)).toBeLessThan(1e-5);
      }
      expect(await lab.apart("even", kind)).toBeGreaterThan(1e-4);
    }
    // The hardest rows count at least as much as others.
    expect(lab.losses("linupper.log")[2]!).toBeGreaterThan(lab.losses("sample-mean.log")[2]!);
  }, 120_000);
});
