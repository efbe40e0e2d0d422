/** Several rationales of a question: what the network is drawn to, and runs that weigh nothing. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { assistant, method, targetShares } from "../../src/distill/methods/mind.ts";
import { questionsOf } from "../../src/distill/questions.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Workshop } from "../cli/distill-models.ts";
import { normals } from "../support/random.ts";

describe("shares", () => {
  const values = bindDefaults(method, { assistant_lr: 0.02 }).values as never as Parameters<
    typeof assistant
  >[0]["values"];
  const make = (given: Partial<typeof values> = {}) =>
    assistant({ values: { ...values, ...given }, width: 4, answers: 3, seed: 1 });
  const asked = (losses: readonly (number | undefined)[], bucket = 0) => ({
    state: normals(7, 4),
    bucket,
    losses,
  });

  test("the target prefers losses near their inertia, and leaves out those beyond reach", () => {
    const shares = targetShares([1, 2, 9], [1, 1, 9], { reach: 0.5, outlier: 6 })!;
    expect(shares[0]! / shares[1]!).toBeCloseTo(Math.exp(2), 9);
    expect(shares[2]).toBe(0);
    expect(targetShares([9, undefined, 7], [1, 1, 1], { reach: 1, outlier: 6 })).toBeUndefined();
    expect(targetShares([1, 1, 1], [null, null, null], { reach: 1, outlier: 6 })).toBeUndefined();
  });

  test("begin about equal, are of the answers that are there, and go to what is drawn to", () => {
    const own = make();
    const [first] = own.weigh([asked([1, 3, undefined])]);
    expect(first![2]).toBe(0);
    expect(first![0]! + first![1]!).toBeCloseTo(1, 12);
    expect(Math.abs(first![0]! - 0.5)).toBeLessThan(0.02);
    // The second answer's loss jumps about its inertia, the first one's does not.
    for (let step = 0; step < 200; step++) own.weigh([asked([1, step % 2 ? 4 : 2, undefined])]);
    expect(own.weigh([asked([1, 2, undefined])])[0]![0]).toBeGreaterThan(0.9);
  });

  test("inertia is the filtered loss of a perspective and a part of the questions", () => {
    const own = make({ inertia: 0.9 });
    own.weigh([asked([2, 4, 6]), asked([4, 4, 4]), asked([1, 1, undefined], 1)]);
    expect(own.inertia.s).toEqual([
      [3, 4, 5],
      [1, 1, null],
      [null, null, null],
    ]);
    own.weigh([asked([1, 4, 5])]);
    expect(own.inertia.s[0]![0]).toBeCloseTo(2.8, 12);
    expect(own.inertia.d[0]![0]).toBeCloseTo(0.2, 12);
  });

  test("a temperature beyond all scores makes them equal, and a saved network goes on where it was", () => {
    const flat = make({ share_temperature: 1e300 });
    for (let step = 0; step < 5; step++)
      expect(flat.weigh([asked([1, step, 3])])[0]!.map((x) => 3 * x)).toEqual([1, 1, 1]);
    const [one, two] = [make(), make()];
    for (let step = 0; step < 9; step++) one.weigh([asked([1, step % 3, 2], step % 2)]);
    two.load(JSON.parse(JSON.stringify(one.state())));
    for (let step = 0; step < 4; step++) {
      const next = [asked([step, 1, 2], step % 2)];
      expect(two.weigh(next)).toEqual(one.weigh(next));
    }
  });
});

test("rows of one prompt are a question, the n-th with the n-th, in parts by their shortest answers", () => {
  const row = (group: number, prompt: number, answer: number) => {
    const ids = Int32Array.from({ length: 2 + answer }, (_, i) => (i < 2 ? prompt : 1));
    return { ids, labels: ids.map((id, i) => (i < 2 ? -100 : id)), group, place: "" };
  };
  const rows = [row(0, 5, 9), row(0, 6, 2), row(1, 6, 4), row(1, 5, 1), row(0, 5, 7)];
  const found = questionsOf(rows, { groups: 2, buckets: 3, promptTokens: 2 });
  expect(found.get(rows[0]!)!.answers).toEqual([rows[0]!, rows[3]!]);
  expect(found.get(rows[4]!)!.answers).toEqual([rows[4]!, undefined]);
  expect(found.get(rows[1]!)).toBe(found.get(rows[2]!)!);
  expect(rows.map((one) => found.get(one)!.bucket)).toEqual([0, 1, 1, 0, 2]);
});

describe("runs", () => {
  let shop: Workshop;
  beforeAll(async () => {
    shop = await Workshop.make();
    const rows = (length: number) =>
      Array.from({ length: 6 }, (_, i) => {
        const ids = Array.from({ length: 4 + length }, (_, t) => (t < 4 ? i + t : (7 * i + 5 * t) % 48));
        return { input_ids: ids, labels: ids.map((id, t) => (t < 4 ? -100 : id)) };
      });
    shop.write("short.jsonl", rows(4));
    shop.write("long.jsonl", rows(9));
  });
  afterAll(() => shop.close());
  const BOTH = "--data short=short.jsonl --data long=long.jsonl";
  const rest = "--batch-size 4 --steps 6 --lr 0.01 --save-every 0 -q --overwrite";
  const mind = (data: string, more: string, out: string) =>
    shop.distill(`first-teacher --student student --method mind ${data} ${rest} ${more} -o ${out}/`);
  const plain = (data: string, out: string) =>
    shop.distill(
      `first-teacher --student student --method kd --distill-weight 0 --label-weight 1 ${data} ${rest} -o ${out}/`,
    );

  test("with equal shares are plain training on all rationales, and with one perspective too, bit for bit", async () => {
    const equal = await mind(BOTH, "--distill-weight 0 --share-temperature 1e30", "equal");
    expect([equal.code, equal.err]).toEqual([0, equal.err]);
    await plain(BOTH, "all");
    expect(await shop.apart("equal/model.safetensors", "all/model.safetensors")).toBe(0);
    await mind("--data short.jsonl", "--distill-weight 0", "one");
    await plain("--data short.jsonl", "rows");
    expect(await shop.apart("one/model.safetensors", "rows/model.safetensors")).toBe(0);
  });

  test("weigh otherwise, tell shares and losses, and stay near the student as it was", async () => {
    await shop.distill(
      `--teacher self --student student --method mind ${BOTH} ${rest} --assistant-lr 0.3 --log mind.log -o mind/`,
    );
    const steps = shop.steps("mind.log");
    for (const step of steps) {
      expect(step["share.short"]! + step["share.long"]!).toBeCloseTo(1, 6);
      expect(step["answer_loss.short"]).toBeGreaterThan(0);
    }
    expect(steps.at(-1)!["share.short"]).not.toBe(0.5);
    expect(steps[0]!.distill).toBeLessThan(1e-5);
    expect(steps.at(-1)!.distill).toBeGreaterThan(0);
    expect(await shop.apart("mind/model.safetensors", "all/model.safetensors")).toBeGreaterThan(1e-4);
  });
});
