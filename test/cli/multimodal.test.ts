/** A model of several parts on the command lines: its text part trains as the plain model does, the rest stays. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { open } from "../../src/checkpoint/open.ts";
import type { Json } from "../../src/model/architecture.ts";
import { runShell } from "../support/command.ts";
import { besideText, LAYOUTS, tensorBytes, wrapModel } from "../support/multimodal.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-multimodal-cli-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
const run = (line: string) => runShell(line, folder);
const STEPS = "--data rows.jsonl --batch-size 2 --steps 2 --lr 0.002 --dtype f32";
const place = LAYOUTS["language_model.model"];

beforeAll(async () => {
  const golden = fileURLToPath(new URL("../golden/train-next/gemma3_text", import.meta.url));
  cpSync(golden, at("plain"), { recursive: true });
  const { batches } = JSON.parse(readFileSync(at("plain/case.json"), "utf8"));
  const rows = batches.flatMap(({ input_ids, labels }: { input_ids: number[][]; labels: number[][] }) =>
    input_ids.map((ids, i) => JSON.stringify({ input_ids: ids, labels: labels[i] })),
  );
  writeFileSync(at("rows.jsonl"), `${rows.join("\n")}\n`);
  const config = (text: Json) => ({ model_type: "gemma3", text_config: text, mm_tokens_per_image: 4 });
  await wrapModel(at("plain"), at("whole/"), "language_model.model", config);
  const trained = await run(`$TRAIN plain ${STEPS} -q -o plain-trained/`);
  expect(trained.err).toBe("");
});

/** Bytes of all tensors of a checkpoint, by name. */
async function tensorsOf(result: string): Promise<Map<string, Uint8Array>> {
  const checkpoint = await open(result);
  const found = new Map<string, Uint8Array>();
  for (const name of checkpoint.tensors.keys()) found.set(name, await tensorBytes(checkpoint, name));
  checkpoint.close();
  return found;
}

/** The result holds what the plain model was trained to, and the other parts as they were. */
async function expectTrained(result: string): Promise<void> {
  const found = await tensorsOf(at(result));
  for (const [name, values] of await tensorsOf(at("plain-trained"))) expect(found.get(place(name))).toEqual(values);
  for (const [name, bytes] of besideText("language_model.model")) expect(found.get(name)).toEqual(bytes);
  const checkpoint = await open(at(result));
  const config = JSON.parse(new TextDecoder().decode(checkpoint.files.get("config.json")));
  expect([config.model_type, config.mm_tokens_per_image, config.text_config.hidden_size]).toEqual(["gemma3", 4, 16]);
  checkpoint.close();
}

test("trains as the plain model does, and says in one line what it carries", async () => {
  const { code, err } = await run(`$TRAIN whole ${STEPS} -o trained/`);
  expect(code).toBe(0);
  expect(err.match(/carried through as they are/g)?.length).toBe(1);
  expect(err).toContain("whole is a gemma3, of which the text part (gemma3_text) runs; 4 tensors of vision_tower");
  await expectTrained("trained");
});

test("so it does from a pipe into one, and in shards", async () => {
  const piped = await run(`$MERGE whole whole --method linear | $TRAIN - ${STEPS} -q > piped.safetensors`);
  expect(piped.code).toBe(0);
  await expectTrained("piped.safetensors");
  expect((await run(`$TRAIN whole ${STEPS} -q --shards 2 -o shards/`)).code).toBe(0);
  await expectTrained("shards");
});

test("an interrupted run goes on with what it carries", async () => {
  const long = `$TRAIN whole ${STEPS.replace("--steps 2", "--steps 12")} -q`;
  expect((await run(`${long} -o uncut/`)).code).toBe(0);
  const cut = `${long} --save-every 1 --state state -o cut/`;
  const wait = "while [ ! -e state/last ]; do sleep 0.05; done";
  expect((await run(`${cut} & run=$!; ${wait}; kill -INT $run; wait $run`)).code).not.toBe(0);
  expect((await run(`${cut} --resume`)).code).toBe(0);
  expect(await tensorsOf(at("cut"))).toEqual(await tensorsOf(at("uncut")));
});

test("a dry run counts the text part and says what is carried", async () => {
  const { text } = await run(`$TRAIN whole ${STEPS} --dry-run -q -o dry/`);
  const plain = await run(`$TRAIN plain ${STEPS} --dry-run -q -o dry/`);
  expect(text.split("\n")[0]).toBe(plain.text.split("\n")[0]!);
  expect(text).toContain("carried through: 4 tensors of vision_tower, multi_modal_projector");
});

test("evaluates and distils as the plain model", async () => {
  const measured = async (model: string) => {
    const { text, code } = await run(`$EVALUATE ${model} --data rows.jsonl --metric perplexity --json -q`);
    expect(code).toBe(0);
    return JSON.stringify(JSON.parse(text)).replaceAll(model, "M");
  };
  const value = (text: string) => /"perplexity":\s*\{?[^}]*?([\d.]+)/.exec(text)?.[1];
  expect(value(await measured("whole"))).toBe(value(await measured("plain"))!);
  const distil = (model: string) =>
    run(`$DISTILL --student ${model} --teacher plain-trained --method kd ${STEPS} -q -o ${model}-distilled/`);
  for (const model of ["plain", "whole"]) expect((await distil(model)).code).toBe(0);
  const [own, wrapped] = [await tensorsOf(at("plain-distilled")), await tensorsOf(at("whole-distilled"))];
  for (const [name, values] of own) expect(wrapped.get(place(name))).toEqual(values);
  expect(wrapped.size).toBe(own.size + 4);
});

test("a new model of such a config is its text part", async () => {
  const { code, err } = await run(`$TRAIN --init whole/config.json ${STEPS} -o fresh/`);
  expect(code).toBe(0);
  expect(err).toContain("whole/config.json describes a gemma3; the new model is its text part alone, a gemma3_text");
  const names = [...(await tensorsOf(at("fresh"))).keys()].sort();
  expect(names).toEqual([...(await tensorsOf(at("plain"))).keys()].sort());
  expect(JSON.parse(readFileSync(at("fresh/config.json"), "utf8")).model_type).toBe("gemma3_text");
});
