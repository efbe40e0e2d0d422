/** Results of the scripts that train, as GGUF: they are the model that was trained, and say where it came from. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { gguf } from "@huggingface/gguf";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { open } from "../../src/checkpoint/open.ts";
import { sampleOf, write } from "../checkpoint/gguf/write/fixture.ts";
import { bytesOf } from "../checkpoint/sample.ts";
import { runShell } from "../support/command.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
let top: string;
const at = (name: string) => path.join(top, name);
beforeAll(async () => {
  top = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-gguf-results-"));
  const config = { ...TINY_TEXT.llama!, num_attention_heads: 4, num_key_value_heads: 2, tie_word_embeddings: true };
  await write(await sampleOf(config, "F32"), at("student"), {});
  await write(await sampleOf({ ...config, num_hidden_layers: 1 }, "F32"), at("teacher"), {});
  const rows = [4, 9, 14].map((first) => JSON.stringify({ input_ids: [first, first + 1, first + 2, first + 3] }));
  fs.writeFileSync(at("a.jsonl"), rows.join("\n"));
  fs.writeFileSync(at("b.jsonl"), rows.toReversed().join("\n"));
});
afterAll(() => fs.rmSync(top, { recursive: true }));

const INGOT = path.join(import.meta.dir, "../../scripts/ingot.ts");
const RUN = "--steps 2 --batch-size 2 --lr 0.05 --seed 3";

test("types are told in the history, by which the same bytes are made again", async () => {
  const types = "--gguf-type bf16,*.attn_v.*=f16";
  const { code, err } = await runShell(
    `set -e; $MERGE student --method passthrough ${types} -o few.gguf -q;` +
      `$TRAIN few.gguf --data a.jsonl --steps 1 --gguf-type f16 -o tuned.gguf -q;` +
      `echo 'bun() { shift; "${process.execPath}" "${INGOT}" "$@" -q; }' > again.sh;` +
      "$INSPECT tuned.gguf --command >> again.sh; sh again.sh",
    top,
  );
  expect([err, code]).toEqual([expect.any(String), 0]);
  expect(fs.readFileSync(at("again.sh"), "utf8")).toContain(
    "run merge student --method passthrough --gguf-type 'bf16,*.attn_v.*=f16' -o \"$work/1.gguf\"",
  );
  expect(fs.readFileSync(at("again.gguf")).equals(fs.readFileSync(at("tuned.gguf")))).toBe(true);
});

test.each([
  ["x.gguf --lora --lora-targets embed_tokens", "GGUF adapters have no place for a change of a tied embedding"],
  ["x.gguf --lora --gguf-type q8_0", "--gguf-type has no effect on an adapter"],
  ["x/ --gguf-type q8_0", "--gguf-type is for GGUF files, and x/ is none"],
  ["x.gguf --gguf-type *.none=q8_0", 'the pattern "*.none" matches no matrix'],
])("a dry run refuses what the run refuses: -o %s", async (out, told) => {
  for (const ending of ["", " --dry-run"]) {
    const { code, err } = await runShell(
      `$TRAIN student --data a.jsonl --steps 1 -o '${out.replace(" ", "' ")}${ending}`,
      top,
    );
    expect([err, code]).toEqual([expect.stringContaining(told), 2]);
  }
});

test("a dry run of an edit refuses what the edit refuses", async () => {
  for (const ending of ["", " --dry-run"]) {
    const line = `$UNLEARN student --method ssd --forget a.jsonl --retain b.jsonl -o x/ --gguf-type f16${ending}`;
    const { code, err } = await runShell(line, top);
    expect([err, code]).toEqual([expect.stringContaining("--gguf-type is for GGUF files, and x/ is none"), 2]);
  }
});

test.each([
  ["distill", `$DISTILL teacher --student student --method kd --data a.jsonl ${RUN}`, ["student", "teacher"]],
  ["unlearn", `$UNLEARN student --method npo --forget a.jsonl --retain b.jsonl ${RUN}`, ["student"]],
  ["curriculum", `$CURRICULUM student --method length --data a.jsonl ${RUN}`, ["student"]],
])("%s", async (script, line, bases) => {
  const { code, err } = await runShell(`${line} -o ${script}/ && ${line} -o ${script}.gguf`, top);
  expect([err, code]).toEqual([expect.any(String), 0]);
  const [folder, file] = [await open(at(script)), await open(at(`${script}.gguf`))];
  expect([...file.tensors.keys()].sort()).toEqual([...folder.tensors.keys()].sort());
  const before = await open(at("student"));
  let changed = 0;
  for (const [name, entry] of folder.tensors) {
    const [wanted, found, first] = await Promise.all(
      [entry, file.tensors.get(name)!, before.tensors.get(name)!].map(async (one) => [
        ...decodeFloats(await bytesOf(one), one.dtype),
      ]),
    );
    expect([name, found]).toEqual([name, wanted]);
    if (wanted!.some((x, i) => x !== first![i])) changed++;
  }
  expect(changed).toBeGreaterThan(0);
  expect(file.lineage.map((step) => step.script)).toEqual([script]);
  const { metadata } = await gguf(at(`${script}.gguf`), { allowLocalFile: true });
  const stated = Object.fromEntries(Object.entries(metadata));
  const names = Array.from({ length: Number(stated["general.base_model.count"]) }, (_, i) =>
    String(stated[`general.base_model.${i}.name`]),
  );
  expect(names.sort()).toEqual(bases);
  for (const one of [folder, file, before]) one.close();
});
