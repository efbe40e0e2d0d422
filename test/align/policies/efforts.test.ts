/** Efforts: the field behind prompts, which share is drawn, the usual length, and rewards within it. */
import { describe, expect, test } from "bun:test";
import { method as verifier } from "../../../src/align/methods/verifiers/effort.ts";
import { Efforts } from "../../../src/align/policies/efforts.ts";
import type { Answered } from "../../../src/align/verifying/contract.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { judged } from "../answered.ts";
import { bound, END, letters, policyWorld, term, tinyModel } from "./world.ts";

const ROW = { prompt: "q", answer: "4" };
const made = (settings: Readonly<Record<string, unknown>> = {}) => {
  const values = { effort_range: [0.1, 1], avg_over: "prompt", effort_rate: 0.25, effort_floor: 8, ...settings };
  return new Efforts(values as never, 3, letters.encode);
};

test("a right answer that is longer than was asked for has 0, and any length is right for the largest share", async () => {
  const of = (tokens: number, effort: Answered["effort"], answer = "4") =>
    [answer, { tokens, effort: effort! }] as const;
  const efforts = made();
  const half = efforts.effort(0.5, 20);
  expect(half).toEqual({ share: 0.5, most: 10 });
  expect(await judged("effort", ROW, [of(10, half), of(11, half), of(3, half, "5")])).toEqual([1, 0, 0]);
  const full = efforts.effort(1, 20);
  expect(await judged("effort", ROW, [of(999, full), of(999, full, "5")])).toEqual([1, 0]);
  expect(await judged("effort:by=number", ROW, [of(9, half, "so 4")])).toEqual([1]);
  expect(await judged("effort", ROW, ["4"])).toEqual([null]);
  expect(verifier.range).toEqual([0, 1]);
});

test("the usual length has a floor, and is a running mean of the prompt or the mean of the answers at hand", () => {
  const efforts = made();
  expect(efforts.effort(0.5, 2).most).toBe(4);
  expect(efforts.usual(undefined, [10, 20, 30])).toBe(20);
  expect(efforts.usual(40, [10, 20, 30])).toBe(35);
  expect(made({ avg_over: "prompt-r" }).usual(40, [10, 20, 30])).toBe(20);
});

test("shares are hundredths of the range, both ends among them, and differ by prompt and epoch", () => {
  const efforts = made({ effort_range: [0.2, 0.25] });
  const drawn = Array.from({ length: 300 }, (_, i) => efforts.draw({ prompt: i % 60, epoch: Math.floor(i / 60) }));
  expect([...new Set(drawn)].sort()).toEqual([0.2, 0.21, 0.22, 0.23, 0.24, 0.25]);
  expect(drawn.slice(0, 60)).not.toEqual(drawn.slice(60, 120));
  expect(efforts.draw({ prompt: 7, epoch: 0 })).toBe(drawn[7]!);
  expect(made({ effort_range: [1, 1] }).draw({ prompt: 1, epoch: 0 })).toBe(1);
});

test.each([[[1, 0.5]], [[0, 1]], [[0.5]], [[0.1, 0.5, 1]], [[0.1, 10]]])("refuses %p for a range", (range) => {
  expect(() => made({ effort_range: range })).toThrow("is no range of shares");
});

describe("a rollout", () => {
  const settings = { group: 4, max_new_tokens: 6, prompts_per_step: 3, effort_floor: 1, effort_rate: 0.5 };
  const make = async (more: Readonly<Record<string, unknown>>) => {
    const model = await tinyModel(await sharedGpu());
    const asked: Answered[] = [];
    const reward = term("a", (answer) => {
      asked.push(answer);
      return answer.effort && answer.tokens! > answer.effort.most ? 0 : 1;
    });
    const chosen = await bound("grpo", { ...settings, ...more });
    const world = policyWorld({ model, chosen, prompts: [[1], [2], [3]], terms: [reward] });
    const free = () => {
      world.free();
      model.free();
    };
    return { world, asked, free };
  };

  test("puts the field behind prompts, judges by the usual length of each, and keeps it for the next one", async () => {
    const { world, asked, free } = await make({ effort_range: [0.3, 0.9] });
    let drawn = 0;
    const draw = () => ({ prompt: drawn++ % 3, epoch: Math.floor((drawn - 1) / 3) });
    const first = await world.maker.make(1, draw);
    const second = await world.maker.make(2, draw, { before: first.held });
    const efforts = new Efforts({ ...world.values, effort_range: [0.3, 0.9] } as never, 0, letters.encode);
    const usual: Record<number, number> = {};
    for (const [number, { held, lines }] of [first, second].entries()) {
      for (let prompt = 0; prompt < 3; prompt++) {
        const own = held.answers.slice(4 * prompt, 4 * prompt + 4);
        const share = efforts.draw({ prompt, epoch: number });
        const mean = own.reduce((sum, { ids }) => sum + ids.length, 0) / 4;
        usual[prompt] = number === 0 ? mean : (usual[prompt]! + mean) / 2;
        const field = letters.encode(`[effort ${share.toFixed(2)}]`);
        for (const [i, answer] of own.entries()) {
          expect([answer.prompt, answer.effort]).toEqual([prompt, share]);
          const { ids, labels } = world.maker.sequence(answer);
          expect([...ids]).toEqual([prompt + 1, ...field, ...answer.ids]);
          expect(labels.findIndex((label) => label !== -100)).toBe(1 + field.length);
          const seen = asked[12 * number + 4 * prompt + i]!;
          expect(seen.prompt).toEndWith(`[effort ${share.toFixed(2)}]`);
          expect(seen.effort!.most).toBeCloseTo(share * Math.max(1, usual[prompt]!), 12);
          expect(lines[4 * prompt + i]).toMatchObject({
            prompt: seen.prompt,
            effort: share,
            effort_tokens: seen.effort!.most,
          });
        }
      }
      for (const [prompt, length] of Object.entries(held.usual!))
        expect(length).toBeCloseTo(usual[Number(prompt)]!, 12);
    }
    // Some are too long for what was asked for.
    expect(new Set(second.lines.map(({ reward }) => reward))).toEqual(new Set([0, 1]));
    free();
  });

  test("resumes with the usual lengths of the rollouts before it, and its batches hold the field", async () => {
    const [whole, broken] = [await make({ effort_range: [0.3, 0.9] }), await make({ effort_range: [0.3, 0.9] })];
    const perRollout = 3;
    for (let i = 0; i < perRollout; i++) await whole.world.source.next();
    const state = JSON.parse(JSON.stringify(whole.world.controller.state()));
    broken.world.source.load(whole.world.source.state(), "state");
    broken.world.controller.load(state);
    const [a, b] = [(await whole.world.source.next()).batch, (await broken.world.source.next()).batch];
    expect(b.advantages).toEqual(a.advantages);
    expect(b.tokens.documents.map(({ sequence }) => [...sequence.ids])).toEqual(
      a.tokens.documents.map(({ sequence }) => [...sequence.ids]),
    );
    const next = [whole, broken].map(
      ({ world }) => (world.controller.state() as { held: { usual: object } }).held.usual,
    );
    expect(next[1]).toEqual(next[0]!);
    expect(next[0]).not.toEqual(state.held.usual);
    const most = whole.world.source.largest().tokens.length;
    expect(Math.max(...a.tokens.documents.map(({ sequence }) => sequence.ids.length))).toBeLessThanOrEqual(most);
    expect(a.tokens.documents.every(({ sequence }) => sequence.ids.length > 13 && sequence.ids[0] !== END)).toBe(true);
    for (const { free } of [whole, broken]) free();
  });
});
