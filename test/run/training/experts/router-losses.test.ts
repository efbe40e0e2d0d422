/** The losses of a mixture's routers in training, against float64 loops over what the routers chose. */
import { describe, expect, test } from "bun:test";
import type { Batch } from "../../../../src/data/batch.ts";
import { balanceRemark } from "../../../../src/run/training/experts/expert-training.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { balanceOf, batchOf, choicesFor, loadsOf, mixture, OTHERS, ROWS, training } from "./mixtures.ts";

const gpu = await sharedGpu();
const NAMES = ["mixtral", "qwen2_moe", "olmoe", "deepseek_v3", "glm4_moe", "gpt_oss"];
const COEF = 0.3;
const mean = (xs: readonly number[]) => xs.reduce((a, b) => a + b, 0) / xs.length;

/** Metrics of the first step over micro-batches, and what the routers chose before it. */
async function first(name: string, options: object, batches: readonly Batch[], more: object = {}, recompute = false) {
  const run = await training(mixture(name, more), options, { recompute });
  const choices = await Promise.all(batches.map((batch) => choicesFor(run.model, batch)));
  const metrics = await run.step(1, batches);
  const gate = run.model.trainable().find(({ name }) => /layers\.1\..*(gate|router)\.weight$/.test(name))!;
  const gradient = await gpu.readFloats(gate.gradient, gate.size);
  run.free();
  return { metrics, choices, gradient };
}

describe.each(NAMES)("%s", (name) => {
  test("the loss of each layer is added, alike under recomputation, and global is micro for one micro-batch", async () => {
    const plain = await first(name, { moe_balance: "none" }, [ROWS]);
    const found = await first(name, { moe_balance: "micro", moe_balance_coef: COEF }, [ROWS]);
    const layers = [...found.choices[0]!.values()].map((choice) => {
      const { counts, likely } = loadsOf(ROWS, choice);
      const most = Math.max(...counts) * counts.length;
      return { loss: balanceOf(counts, likely), violation: most / counts.reduce((a, b) => a + b) - 1 };
    });
    expect(layers.length).toBeGreaterThan(0);
    expect(found.metrics.balance_loss).toBeCloseTo(mean(layers.map(({ loss }) => loss)), 5);
    expect(found.metrics.max_violation).toBeCloseTo(mean(layers.map(({ violation }) => violation)), 5);
    const added = found.metrics.loss! - plain.metrics.loss!;
    expect(added).toBeCloseTo(COEF * layers.reduce((sum, { loss }) => sum + loss, 0), 4);
    expect(found.gradient).not.toEqual(plain.gradient);
    const again = await first(name, { moe_balance: "global", moe_balance_coef: COEF }, [ROWS], {}, true);
    expect(again.metrics).toEqual(found.metrics);
    for (const [i, x] of found.gradient.entries()) expect(again.gradient[i]).toBeCloseTo(x, 6);
  });
});

test("global goes by the counts of the step so far, and the last micro-batch by all of them", async () => {
  const batches = [ROWS, OTHERS];
  const { metrics, choices } = await first("mixtral", { moe_balance: "global", moe_balance_coef: COEF }, batches);
  const micro = await first("mixtral", { moe_balance: "micro", moe_balance_coef: COEF }, batches);
  const total = ROWS.counted + OTHERS.counted;
  const sums = { global: 0, micro: 0 };
  for (const layer of choices[0]!.keys()) {
    const own = choices.map((choice, i) => loadsOf(batches[i]!, choice.get(layer)!));
    const so = own[0]!.counts.map((count, i) => count + own[1]!.counts[i]!);
    for (const [i, { counts, likely }] of own.entries()) {
      const share = batches[i]!.counted / total;
      sums.global += share * balanceOf(i === 0 ? counts : so, likely);
      sums.micro += share * balanceOf(counts, likely);
    }
  }
  const layers = choices[0]!.size;
  expect(metrics.balance_loss).toBeCloseTo(sums.global / layers, 5);
  expect(micro.metrics.balance_loss).toBeCloseTo(sums.micro / layers, 5);
  expect(Math.abs(sums.global - sums.micro)).toBeGreaterThan(0.01);
});

test("a step's counts begin anew", async () => {
  const run = await training(mixture("mixtral"), { moe_balance: "global" });
  const metrics = [await run.step(1, [ROWS, OTHERS]), await run.step(2, [ROWS, OTHERS])];
  expect(metrics[1]!.balance_loss).toBe(metrics[0]!.balance_loss!);
  run.free();
});

test("sequence is the mean over rows of their own losses", async () => {
  const { metrics, choices } = await first("qwen2_moe", { moe_balance: "sequence", moe_balance_coef: COEF }, [ROWS]);
  const losses = [...choices[0]!.values()].flatMap((choice) =>
    [0, 1].map((row) => {
      const { counts, likely } = loadsOf(ROWS, choice, [row]);
      return balanceOf(counts, likely);
    }),
  );
  expect(metrics.balance_loss).toBeCloseTo(mean(losses), 5);
});

test("the z-loss of routers is added by itself", async () => {
  const plain = await first("olmoe", {}, [ROWS]);
  const { metrics, choices } = await first("olmoe", { router_z_loss: 0.1 }, [ROWS]);
  const tokens = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  const losses = [...choices[0]!.values()].map(({ logits }) => {
    const e = logits.length / (ROWS.rows * ROWS.length);
    return mean(
      tokens.map((i) => Math.log(logits.subarray(i * e, i * e + e).reduce((s, x) => s + Math.exp(x), 0)) ** 2),
    );
  });
  expect(metrics.router_z_loss).toBeCloseTo(mean(losses), 4);
  expect(metrics.loss! - plain.metrics.loss!).toBeCloseTo(0.1 * losses.reduce((a, b) => a + b), 4);
  expect(metrics).not.toHaveProperty("balance_loss");
});

test("a config that asks gets its coefficient times the experts per token, of the layers' mean; none turns it off", async () => {
  const asks = { output_router_logits: true, router_aux_loss_coef: 0.2 };
  const plain = await first("qwen2_moe", { moe_balance: "none" }, [ROWS], asks);
  expect(plain.metrics).not.toHaveProperty("balance_loss");
  const { metrics } = await first("qwen2_moe", {}, [ROWS], asks);
  expect(metrics.loss! - plain.metrics.loss!).toBeCloseTo(0.2 * 2 * metrics.balance_loss!, 4);
  const silent = await first("qwen2_moe", {}, [ROWS], { ...asks, output_router_logits: false });
  expect(silent.metrics).not.toHaveProperty("balance_loss");
});

test("what is refused, and what is told", async () => {
  const refuse = async (name: string, options: object, message: string) => {
    await expect(training(mixture(name), options)).rejects.toThrow(message);
  };
  await refuse("llama", { moe_balance: "global" }, "--moe-balance is for mixtures of experts, and this llama has none");
  await refuse("llama", { router_z_loss: 1 }, "--router-z-loss is for mixtures of experts");
  await refuse("mixtral", { moe_balance: "sequence", pack: true }, "--pack puts several in one");
  await refuse("mixtral", { moe_balance: "bias" }, "a mixtral has none");
  const run = await training(mixture("mixtral"), {});
  expect(balanceRemark(run.model, {})).toContain("without a load-balancing loss; --moe-balance global adds one");
  expect(balanceRemark(run.model, { moe_balance: "none" })).toBeUndefined();
  expect(balanceRemark(run.model, { moe_balance: "global" })).toBe(
    "experts: balanced by a loss (global), weight 0.01 in each layer",
  );
  run.free();
});

test("padding is not counted", async () => {
  const rows = batchOf([1, 5, 7, 2, 9, 49]);
  const padded = batchOf([1, 5, 7, 2, 9, 49], [4]);
  const { choices } = await first("mixtral", { moe_balance: "micro" }, [rows, padded]);
  const [alone, beside] = [rows, padded].map((batch, i) => loadsOf(batch, choices[i]!.get(0)!, [0]));
  expect(beside!.counts).toEqual(alone!.counts);
});
