/** The distill script as a user runs it, on tiny models. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { otherSpansOf } from "../../src/distill/other-spans.ts";
import { otherVocabulary } from "../../src/distill/other-vocabulary.ts";
import { has } from "../../src/method/capability.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { SMALL, TEXT, Workshop } from "./distill-models.ts";

const shop = await Workshop.make();
afterAll(() => shop.close());
const { at, apart, distill, shell, steps } = shop;
const methods = await loadMethods("distill");
const fewest = ({ teachers: [least] = [1, 1] }: (typeof methods)[number]) => least;

/** What a method asks for besides. */
const MORE: Readonly<Record<string, string>> = { distillm: " --eval-split 0.2 --eval-every 2" };
/** Of methods that give labels all the weight: one for the divergence, which is what is no loss at first. */
const WEIGHED: Readonly<Record<string, string>> = { comd: " --distill-weight 1" };

const ofTexts = methods.filter(({ numbers }) => numbers === undefined);
test.each(ofTexts.map((method) => [method.name, fewest(method)] as const))(
  "%s runs",
  async (name, count) => {
    const teachers = ["first-teacher", "second-teacher"].slice(0, count).join(" ");
    const { err, code } = await distill(
      `${teachers} --student student --method ${name} ${TEXT}${MORE[name] ?? ""} --steps 3 --sample-tokens 6 --log ${name}.log -o ${name}/`,
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(await apart("student/model.safetensors", `${name}/model.safetensors`)).toBeGreaterThan(1e-4);
    const heard = steps(`${name}.log`);
    expect(heard).toHaveLength(3);
    for (const { loss } of heard) expect(loss).toBeGreaterThan(0);
    expect(existsSync(at(`${name}-state`))).toBe(false);
  },
  30_000,
);

const learnsFromItself = ofTexts.filter(
  (method) =>
    method.laws.zeroAtTeacher === true &&
    fewest(method) === 1 &&
    ![otherVocabulary, otherSpansOf].some((capability) => has(method, capability)),
);

test.each(learnsFromItself.map(({ name }) => name))(
  "--teacher self is no loss at first: %s",
  async (name) => {
    const { err } = await distill(
      `--teacher self --student large --method ${name} --label-weight 0 ${TEXT}${MORE[name] ?? ""}${WEIGHED[name] ?? ""} --steps 1 --optimizer sgd --log self-${name}.log -o self-${name}.safetensors`,
    );
    expect(err).toBe("");
    const [first] = steps(`self-${name}.log`);
    expect(Math.abs(first!.loss!)).toBeLessThan(1e-6);
    expect(await apart("large/model.safetensors", `self-${name}.safetensors`)).toBeLessThan(1e-6);
  },
  30_000,
);

describe("--teacher self", () => {
  const line = `--method lssd ${TEXT} --steps 4 --lr 0.01`;

  test("is the student as it was, whether read from a folder, a stream, or named", async () => {
    const { err, code } = await shell(
      `$DISTILL --teacher self --student large ${line} > self.safetensors && $DISTILL --teacher large --student large ${line} > named.safetensors && $MERGE large --method passthrough -q | $DISTILL --teacher self ${line} > streamed.safetensors`,
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(await apart("named.safetensors", "self.safetensors")).toBe(0);
    expect(await apart("self.safetensors", "streamed.safetensors")).toBe(0);
  }, 40_000);

  test("with --lora holds no second model, and equals a run with one", async () => {
    const lora = `${line} --lora --lora-rank 3`;
    const memory = async (teacher: string) => {
      const { text } = await distill(`--teacher ${teacher} --student large ${lora} -n --json`);
      return JSON.parse(text).memory as Record<string, number>;
    };
    const [own, second] = [await memory("self"), await memory("large")];
    expect(own.teachers).toBeUndefined();
    expect(second.teachers).toBeGreaterThan(0);
    expect(own.weights).toBe(second.weights!);
    expect(own.total!).toBeLessThanOrEqual(second.total! - second.teachers!);
    for (const teacher of ["self", "large"]) {
      const { err } = await distill(`--teacher ${teacher} --student large ${lora} -o lora-${teacher}/`);
      expect(err).toBe("");
    }
    expect(await apart("lora-self/adapter_model.safetensors", "lora-large/adapter_model.safetensors")).toBeLessThan(
      1e-5,
    );
  }, 40_000);

  test("with --lora-continue is the base too", async () => {
    await distill(`--teacher large --student large ${line} --lora --lora-rank 3 -o lora-first/`);
    const { err } = await distill(`--teacher self --student large+lora-first --lora-continue ${line} -o lora-on/`);
    expect(err).toBe("");
    const other = await distill(`--teacher large --student large+lora-first --lora-continue ${line} -o lora-on-named/`);
    expect(other.err).toBe("");
    expect(await apart("lora-on/adapter_model.safetensors", "lora-on-named/adapter_model.safetensors")).toBeLessThan(
      1e-5,
    );
  }, 40_000);

  test("of a model made afresh is that model", async () => {
    writeFileSync(at("small.json"), JSON.stringify(SMALL));
    const { err } = await distill(`--teacher self --init small.json ${TEXT} --steps 1 --log fresh.log -o fresh/`);
    expect(err).toBe("");
    expect(Math.abs(steps("fresh.log")[0]!.loss!)).toBeLessThan(1e-6);
  }, 120_000);
});

describe("dual-head --grad-align", () => {
  // These two disagree at once.
  const line =
    "other --student small --method dual-head --data rows.jsonl --no-shuffle -q --steps 3 --optimizer sgd --lr 0.05";

  test("is one step however its rows are cut, and another one than without", async () => {
    for (const [name, how] of [
      ["whole", "--grad-align --batch-size 4"],
      ["halves", "--grad-align --batch-size 2 --accumulate 2"],
      ["plain", "--batch-size 4"],
    ]) {
      const { err, code } = await distill(`${line} ${how} --log align-${name}.log -o align-${name}/`);
      expect(err).toBe("");
      expect(code).toBe(0);
    }
    expect(await apart("align-whole/model.safetensors", "align-halves/model.safetensors")).toBeLessThan(2e-6);
    expect(await apart("align-whole/model.safetensors", "align-plain/model.safetensors")).toBeGreaterThan(3e-5);
    // Losses of a step are those before it: of the first both are the same.
    const [first, plain] = [steps("align-whole.log")[0]!, steps("align-plain.log")[0]!];
    for (const name of ["loss", "distill", "cross_entropy"])
      expect(Math.abs(first[name]! / plain[name]! - 1)).toBeLessThan(1e-5);
  }, 40_000);

  test("says what memory it takes, and takes none where one loss counts for nothing", async () => {
    const memory = async (how: string) => {
      const { text } = await distill(`${line} --grad-align ${how} -n --json`);
      return (JSON.parse(text) as { memory: Record<string, number> }).memory.alignment;
    };
    expect(await memory("--batch-size 4")).toBeGreaterThan(0);
    expect(await memory("--batch-size 4 --label-weight 0")).toBeUndefined();
  }, 120_000);
});

describe("streams", () => {
  test("a merge is taught from, and the student goes on in the pipe", async () => {
    const { err, code } = await shell(
      `$MERGE large other --method linear -q | $DISTILL --student small ${TEXT} --steps 2 > taught.safetensors && $MERGE large other --method linear -q -o merged/ && $DISTILL merged/ --student small ${TEXT} --steps 2 -o taught/`,
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(await apart("taught.safetensors", "taught/model.safetensors")).toBe(0);
  }, 40_000);

  test("a student out of a stream", async () => {
    const { err, code } = await shell(
      `$MERGE small --method passthrough -q | $DISTILL large ${TEXT} --steps 2 > one.safetensors && $DISTILL large --student small ${TEXT} --steps 2 > two.safetensors`,
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(await apart("one.safetensors", "two.safetensors")).toBe(0);
  }, 40_000);
});

test("rows of which no token counts are no loss, not NaN", async () => {
  shop.write("silent.jsonl", [{ input_ids: [1, 2, 3, 4], labels: [-100, -100, -100, -100] }, { input_ids: [1, 2, 3] }]);
  const { code } = await distill(
    "large --student small --data silent.jsonl --no-shuffle --batch-size 1 --steps 1 --weight-decay 0 -q --log silent.log -o silent/",
  );
  expect(code).toBe(0);
  for (const { loss } of steps("silent.log")) expect(loss).toBe(0);
  expect(await apart("small/model.safetensors", "silent/model.safetensors")).toBe(0);
}, 120_000);

test.each(["kd", "kd --temperature 4", "bd-kd --temperature 4", "hidden", "hidden --layers 1:2 --distance cosine"])(
  "a classifier learns by %s",
  async (method) => {
    const { err, code } = await distill(
      `mlp-large --student mlp-small --method ${method} --data points.jsonl --steps 30 --lr 0.02 -q --log mlp.log --overwrite -o mlp-out/`,
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    const heard = steps("mlp.log");
    expect(heard.at(-1)!.loss).toBeLessThan(heard[0]!.loss!);
    rmSync(at("mlp.log"));
    expect(existsSync(at("mlp-out"))).toBe(true);
  },
  30_000,
);
