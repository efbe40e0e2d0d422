/** The unlearn script as a user runs it, on a tiny model that knows its rows by heart. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { openPlain } from "../../src/checkpoint/open.ts";
import { ROWS, Workshop } from "./unlearn-models.ts";

setDefaultTimeout(120_000);
const shop = await Workshop.make();
afterAll(() => shop.close());
const { apart, at, bytesOf, differences, measure, run, shell, steps, unlearn } = shop;

test("sam of radius 0 and a mean of the last step alone are the method itself, bit for bit", async () => {
  const smooth = {
    plain: "",
    sam: "--smooth sam --rho 0 ",
    wa: "--smooth wa --average-from 4 --eval-data retain.jsonl ",
  };
  await Promise.all(
    Object.entries(smooth).map(async ([name, options]) => {
      const { err } = await unlearn(`base ${options}${ROWS} --steps 4 -o limit-${name}/`);
      const said =
        "unlearn: warning: --smooth wa: held-out losses and --best are of the weights on the way, not of their mean";
      expect(err).toBe(name === "wa" ? `${said}\n` : "");
    }),
  );
  expect(await apart("base", "limit-plain")).toBeGreaterThan(1e-4);
  expect(await apart("limit-plain", "limit-sam")).toBe(0);
  expect(await apart("limit-plain", "limit-wa")).toBe(0);
});

describe("--lora", () => {
  test("gives an adapter that forgets, and leaves the base", async () => {
    const before = bytesOf("base/model.safetensors");
    const { err, code } = await unlearn(`base --lora --lora-rank 4 ${ROWS} --steps 15 --lr 0.02 -o adapter/`);
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(bytesOf("base/model.safetensors")).toEqual(before);
    const loss = await measure(["base", "base+adapter"], "loss");
    expect(loss("base+adapter", "forget")).toBeGreaterThan(loss("base", "forget") + 1);
  });

  test("the original under --lora-continue", async () => {
    await unlearn(`base --lora --lora-rank 4 ${ROWS} --steps 1 -o first/`);
    const { err, code } = await unlearn(`base+first --lora-continue --method kl-min ${ROWS} --steps 2 -o refused/`);
    expect(err).toStartWith(
      "unlearn: the model as it was is the base with its adapter, which --lora-continue changes\n  hint: merge the adapter",
    );
    expect(code).toBe(2);
  });

  test("needs no second model where the whole weights do", async () => {
    const memory = async (lora: string) => {
      const { text } = await unlearn(`base --method kl-min ${ROWS} ${lora}--steps 1 -n --json`);
      return JSON.parse(text).memory as Record<string, number>;
    };
    const [own, second] = await Promise.all([memory("--lora --lora-rank 4 "), memory("")]);
    expect(own.original).toBeUndefined();
    expect(second.original).toBe(second.weights!);
  });

  test.each(["undial", "rmu"])("%s: its first loss is that of the whole weights", async (name) => {
    // A fresh adapter changes nothing, so that theta is theta0 in both.
    const losses = ["plain", "adapted"].map(async (kind) => {
      const lora = kind === "adapted" ? "--lora --lora-rank 4 " : "";
      await unlearn(`base --method ${name} ${ROWS} ${lora}--steps 1 --log ${name}-${kind}.log -o ${name}-${kind}/`);
      return steps(`${name}-${kind}.log`)[0]!.loss!;
    });
    const [plain, adapted] = await Promise.all(losses);
    expect(plain).toBeGreaterThan(0);
    expect(Math.abs(adapted! - plain!)).toBeLessThan(1e-5 * plain!);
  });
});

test("a merge is unlearnt in a pipe as from a folder, and the result goes on in it", async () => {
  const { err, code } = await shell(
    `set -e -o pipefail
    $UNLEARN base ${ROWS} --steps 2 -o moved/
    $MERGE base moved --method linear -q -o half/
    $UNLEARN half/ ${ROWS} --steps 4 --smooth sam -o filed/
    $UNLEARN half/ ${ROWS} --steps 4 --smooth sam > streamed.safetensors
    $MERGE base moved --method linear -q | $UNLEARN ${ROWS} --steps 4 --smooth sam > piped.safetensors
    $MERGE base moved --method linear -q | $UNLEARN - ${ROWS} --steps 4 --smooth sam | $MERGE - --method passthrough -q -o passed/`,
  );
  expect(err).toBe("");
  expect(code).toBe(0);
  expect(await apart("half", "filed")).toBeGreaterThan(1e-4);
  expect(bytesOf("piped.safetensors").equals(bytesOf("streamed.safetensors"))).toBe(true);
  for (const other of ["piped.safetensors", "passed"]) expect(await apart("filed", other)).toBe(0);
});

test("lineage names the method, its options and the rows", async () => {
  const entry = async (name: string) => {
    const opened = await openPlain(at(name));
    opened.close();
    return opened.lineage.at(-1)!;
  };
  await unlearn(`base --forget-weight 0.5 ${ROWS} --steps 2 --lr 0.005 -o npo/`);
  await unlearn(`base --method ssd ${ROWS} -o ssd/`);
  const npo = await entry("npo");
  const rows = { forget: ["forget.jsonl"], retain: ["retain.jsonl"] };
  expect(npo).toMatchObject({
    script: "unlearn",
    method: "npo",
    options: { ...rows, steps: 2, lr: 0.005, batch_size: 3, forget_weight: 0.5 },
  });
  const base = await entry("base");
  expect(npo.inputs).toMatchObject([{ ref: `run:${base.run}`, role: "model" }]);
  expect(await entry("ssd")).toMatchObject({ script: "unlearn", method: "ssd", options: rows });
});

describe("--dry-run", () => {
  test("says what a run would take, and writes nothing", async () => {
    const plan = async (line: string) => {
      const { text, code } = await unlearn(`${line} -n --json -o never/`);
      expect(code).toBe(0);
      expect(existsSync(at("never"))).toBe(false);
      return JSON.parse(text);
    };
    expect(await plan(`base ${ROWS} --epochs 3`)).toMatchObject({
      steps: 6,
      steps_per_epoch: 2,
      groups: [{ name: "forget", rows: 6 }],
    });
    expect(await plan(`base ${ROWS} --epochs 2 --anchor retain`)).toMatchObject({
      steps: 6,
      steps_per_epoch: 3,
      groups: [{ name: "retain", rows: 9 }],
    });
    expect(await plan(`base --method ssd ${ROWS}`)).toEqual({ forget: 6, retain: 9, rows: 1 });
    expect(await plan(`base --method ssd --fisher batch ${ROWS}`)).toEqual({ forget: 2, retain: 3, rows: 3 });
    expect(await plan("importance base --retain retain.jsonl")).toEqual({ batches: 9, rows: 1 });
  });
});

describe("ssd", () => {
  const ALL = "--retain forget.jsonl --retain retain.jsonl";

  test("importances are saved once and reused: same bytes by file and by pipe, near what is measured anew", async () => {
    const { err, code } = await shell(
      `set -e -o pipefail
      $UNLEARN importance base ${ALL} -q -o importance.safetensors
      $MERGE base --method passthrough -q | $UNLEARN importance - ${ALL} -q > piped-importance.safetensors
      $UNLEARN base --method ssd --alpha 1.5 --importance importance.safetensors --forget forget.jsonl -q --json -o saved/ > saved.json
      $UNLEARN base --method ssd --alpha 1.5 ${ROWS} --json -o anew/ > anew.json`,
    );
    expect(code).toBe(0);
    for (const line of err.split("\n")) expect(line).toMatch(/^$|alpha 1.5 selects .* % of the weights/);
    expect(bytesOf("piped-importance.safetensors").equals(bytesOf("importance.safetensors"))).toBe(true);
    expect(await apart("base", "saved")).toBeGreaterThan(0.01);
    // The mean over all rows and the shares of two means are one number, rounded otherwise.
    expect(await apart("saved", "anew")).toBeLessThan(1e-4);
    const told = (name: string) => JSON.parse(readFileSync(at(name), "utf8"));
    expect(told("saved.json")).toEqual(told("anew.json"));
  });

  test("--freeze and --train-only choose what may be dampened", async () => {
    const { code } = await unlearn(`base --method ssd --train-only *.mlp.* ${ROWS} -o only/`);
    expect(code).toBe(0);
    for (const [name, difference] of Object.entries(await differences("base", "only"))) {
      if (name.includes(".mlp.")) expect(difference).toBeGreaterThan(0);
      else expect(difference).toBe(0);
    }
  });

  test("says when nothing was selected", async () => {
    const { err, code } = await unlearn(`base --method ssd --alpha 3 ${ROWS} -o untouched/`);
    expect(code).toBe(0);
    expect(err).toBe(
      "unlearn: warning: alpha 3 is not below 2.50, all rows over those to forget: with --fisher sample nothing can be selected\n" +
        "unlearn: warning: alpha 3 selects no weight: the model is as it was; give a smaller --alpha\n",
    );
    expect(await apart("base", "untouched")).toBe(0);
  });
});

test("isolate trains the chosen matrices and leaves every bit of the others", async () => {
  const { err } = await unlearn(`base --method isolate --layers 1 --part attn ${ROWS} --steps 3 -o isolated/`);
  expect(err).toBe("");
  for (const [name, difference] of Object.entries(await differences("base", "isolated"))) {
    if (name.includes(".1.self_attn.")) expect(difference).toBeGreaterThan(0);
    else expect(difference).toBe(0);
  }
});

test("isolate --layers auto trains the blocks that tracing names, and leaves every bit of the others", async () => {
  const traced = await run("evaluate", "base --data forget=named.jsonl --probe trace --json -q");
  const { layers } = JSON.parse(traced.text).rows[0];
  expect(layers).toBe("0-0");
  const line = "base --method isolate --forget named.jsonl --retain retain.jsonl --batch-size 3 --steps 3";
  const { err } = await unlearn(`${line} --layers auto -o auto/`);
  expect(err).toContain("traced 6 rows; training block 0\n");
  await unlearn(`${line} --layers ${layers} -q -o given/`);
  expect(await apart("auto", "given")).toBe(0);
  expect(await apart("auto", "base")).toBeGreaterThan(0);
  // What is given to be trained needs no tracing.
  const only = await unlearn(`${line} --layers auto --train-only *.1.mlp.* -o only-mlp/`);
  expect(only.err).not.toContain("traced");
  expect((await differences("base", "only-mlp"))["model.layers.0.mlp.up_proj.weight"]).toBe(0);
});

test("--pd counts, and its weight of 0 does not", async () => {
  const line = `base --method grad-ascent --forget forget.jsonl --batch-size 3 -q --steps 4`;
  for (const [name, more] of [
    ["alone", ""],
    ["pd-0", " --pd pd.jsonl --pd-weight 0"],
    ["pd-1", " --pd pd.jsonl --pd-weight 1 --log pd.log"],
  ])
    expect((await unlearn(`${line}${more} -o ${name}/`)).err).toBe("");
  expect(await apart("alone", "pd-0")).toBeLessThan(1e-6);
  expect(await apart("alone", "pd-1")).toBeGreaterThan(1e-4);
  for (const { loss, forget_loss, pd_loss } of steps("pd.log")) expect(loss).toBeCloseTo(forget_loss! + pd_loss!, 4);
});

test("--dry-run tells the memory that the run then takes", async () => {
  const methods = [
    "npo",
    "dpo",
    "altpo --temperature 2",
    "undial --retain-weight 1",
    ...["cr", "wa"].map((s) => `npo --smooth ${s}`),
  ];
  for (const [i, method] of methods.entries()) {
    const line = `base --method ${method} ${ROWS} --steps 2 --lr 0.005`;
    const told = JSON.parse((await unlearn(`${line} --dry-run --json`)).text).memory.total;
    expect((await unlearn(`${line} --log memory-${i}.log --overwrite -o memory/`)).err).toBe("");
    const taken = Math.max(...steps(`memory-${i}.log`).map(({ gpu_bytes }) => gpu_bytes!));
    // altpo plans for the longest answers there may be.
    expect([method, taken <= 1.01 * told, taken >= (method.startsWith("altpo") ? 0.7 : 0.99) * told]).toEqual([
      method,
      true,
      true,
    ]);
  }
});
