/**
 * PEFT adapters as a view of their base: LoRA, rsLoRA and DoRA on linear, convolution and embedding layers, saved modules,
 * biases, trained token rows. Low-rank parts become patches that the GPU applies on loading; the rest replaces tensors.
 *
 * Hu et al. 2021, https://arxiv.org/abs/2106.09685 (LoRA); Kalajdzievski 2023, https://arxiv.org/abs/2312.03732 (rsLoRA);
 * Liu et al. 2024, https://arxiv.org/abs/2402.09353 (DoRA). Checked against PEFT's own merges in test/golden/train.
 */
import { createHash } from "node:crypto";
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import type { Checkpoint, TensorEntry } from "../checkpoint.ts";
import { decodeFloats, encodeFloats } from "../decode.ts";
import { addBias, indicesFor, nameInBase, notFound, replacement, withRows } from "./changes.ts";
import { type AdapterConfig, rankOf, readAdapterConfig } from "./config.ts";
import { viewEntry } from "./entries.ts";
import { isFactorName, isSavedModule, isVocabulary } from "./keys.ts";
import { readParts } from "./parts.ts";
import { type Factors, patchOf, stackPatches } from "./patch.ts";
import { editConfig, findTie } from "./tie.ts";

const TOKENIZER_FILE =
  /^(tokenizer.*|special_tokens_map\.json|added_tokens\.json|vocab\..*|merges\.txt|chat_template.*)$/;

/** Whether a checkpoint is an adapter: it says so in adapter_config.json, or its tensors are LoRA factors. */
export function isAdapter(checkpoint: Checkpoint): boolean {
  return checkpoint.files.has("adapter_config.json") || [...checkpoint.tensors.keys()].some(isFactorName);
}

/**
 * The base with the adapter on it, as a checkpoint of the base's dtypes; apply several in turn. The adapter's factors are read
 * now and held in f32; everything else is read when asked for, so both stay open until the result is closed.
 * `warn` gets what is odd but harmless. Throws UserError when the adapter does not fit the base, whole or in part.
 */
export async function applyAdapter(
  base: Checkpoint,
  adapter: Checkpoint,
  { warn = () => {} }: { warn?: (message: string) => void } = {},
): Promise<Checkpoint> {
  const config = readAdapterConfig(adapter.files.get("adapter_config.json"), adapter.ref);
  const parts = await readParts(adapter, config);
  const tensors = new Map(base.tensors);
  const touched = new Set<string>();
  const change = (name: string, entry: TensorEntry) => {
    tensors.set(name, entry);
    touched.add(name);
  };

  // While changes are made, a tied head is a tensor of its own that shows the embedding's bytes.
  const tie = findTie(base);
  if (tie?.tied) tensors.set(tie.head, viewEntry(base.tensors.get(tie.embedding)!, { name: tie.head }));

  for (const [key, saved] of parts.replaced) {
    const name = nameInBase(tensors, key);
    if (name === undefined && !isSavedModule(key, config) && !(isVocabulary(key) && key === tie?.head)) {
      throw notFound(key, base, adapter);
    }
    change(
      name ?? key,
      replacement(name === undefined ? undefined : tensors.get(name), saved, name ?? key, adapter.ref),
    );
  }
  for (const [module, factors] of parts.modules) {
    const name = nameInBase(tensors, `${module}.weight`);
    if (name === undefined) throw notFound(`${module}.weight`, base, adapter);
    const entry = tensors.get(name)!;
    const rank = factors.a !== undefined ? factors.a.shape[0] : factors.embeddingA?.shape[0];
    const promised = rankOf(config, module);
    if (rank !== undefined && rank !== promised) {
      warn(`${module} has rank ${rank} in ${adapter.ref}, its config says ${promised}; the tensors count`);
    }
    const patch = patchOf(entry, factors, module, config, adapter.ref);
    change(name, viewEntry(entry, { patch: stackPatches(entry, patch, adapter.ref) }));
    if (factors.bBias !== undefined) addBias(tensors, touched, module, factors.bBias, patch.scale, base, adapter);
  }
  const tokenRows = new Set<string>();
  for (const [module, rows] of parts.tokens) {
    const name = nameInBase(tensors, `${module}.weight`);
    if (name === undefined) throw notFound(`${module}.weight`, base, adapter);
    const entry = tensors.get(name)!;
    tensors.set(name, withRows(entry, rows, indicesFor(module, config, adapter.ref), adapter.ref));
    tokenRows.add(name);
  }

  const changes: JsonObject = {};
  if (tie?.tied) {
    const kept = config.ensureWeightTying && touched.has(tie.embedding);
    if (!kept && (touched.has(tie.embedding) || touched.has(tie.head))) {
      if (base.kind === "stream") {
        throw new UserError(
          `${adapter.ref} parts the tied embeddings of ${base.ref}, which arrives as a stream and can be read only once`,
          "write the base to a folder first, then apply the adapter to that",
        );
      }
      changes.tie_word_embeddings = false;
      // PEFT trains the same new rows on both sides of a tie.
      if (tokenRows.has(tie.embedding) && !tokenRows.has(tie.head)) {
        const rows = [...parts.tokens.entries()].find(
          ([module]) => nameInBase(tensors, `${module}.weight`) === tie.embedding,
        )!;
        const head = tensors.get(tie.head)!;
        tensors.set(tie.head, withRows(head, rows[1], indicesFor(rows[0], config, adapter.ref), adapter.ref));
      }
    } else if (base.tensors.has(tie.head)) tensors.set(tie.head, base.tensors.get(tie.head)!);
    else tensors.delete(tie.head);
  }
  const grown = vocabularyOf(base, tensors, tie, adapter);
  if (grown !== undefined) changes.vocab_size = grown;
  warnOfGaps(base, config, parts.modules, adapter, warn);

  const files = editConfig(base.files, changes, base.ref);
  if (grown !== undefined || tokenRows.size > 0) {
    for (const [name, bytes] of adapter.files) if (TOKENIZER_FILE.test(name)) files.set(name, bytes);
  }
  return {
    ref: `${base.ref}+${adapter.ref}`,
    kind: base.kind,
    tensors,
    files,
    lineage: [...base.lineage, ...adapter.lineage.filter(({ run }) => !base.lineage.some((step) => step.run === run))],
    headerSha256: createHash("sha256")
      .update(`${base.headerSha256}\n${adapter.headerSha256}\n`)
      .update(adapter.files.get("adapter_config.json")!)
      .digest("hex"),
    ...(base.revision === undefined ? {} : { revision: base.revision }),
    close() {
      base.close();
      adapter.close();
    },
  };
}

/**
 * A float tensor with its patch applied as a merged checkpoint holds it, rounded to the tensor's own dtype: the reference for the GPU's
 * path, and for small tensors.
 */
export async function mergeOnCpu(entry: TensorEntry): Promise<Float32Array> {
  const values = await patchedValues(entry);
  return entry.patch === undefined ? values : decodeFloats(encodeFloats(values, entry.dtype), entry.dtype);
}

/** Reads a float tensor whole and applies its patch in f64, as the layer beside its adapter computes. */
export async function patchedValues(entry: TensorEntry): Promise<Float32Array> {
  const bytes = new Uint8Array(entry.bytes);
  await entry.read(bytes, 0);
  const weight = decodeFloats(bytes, entry.dtype);
  if (entry.patch === undefined) return weight;
  const { a, b, rank, scale, magnitude, transposed } = entry.patch;
  const inputs = a.length / rank;
  const outputs = b.length / rank;
  const row = new Float64Array(inputs);
  for (let o = 0; o < outputs; o++) {
    row.fill(0);
    for (let r = 0; r < rank; r++) {
      const factor = b[o * rank + r]!;
      for (let i = 0; i < inputs; i++) row[i]! += factor * a[r * inputs + i]!;
    }
    let squares = 0;
    for (let i = 0; i < inputs; i++) {
      row[i] = weight[transposed ? i * outputs + o : o * inputs + i]! + scale * row[i]!;
      squares += row[i]! ** 2;
    }
    // A row of zeros has no direction to scale: it stays zero.
    const length = magnitude === undefined ? 1 : squares === 0 ? 0 : magnitude[o]! / Math.sqrt(squares);
    for (let i = 0; i < inputs; i++) weight[transposed ? i * outputs + o : o * inputs + i] = row[i]! * length;
  }
  return weight;
}

/** Rows of the new vocabulary if it changed. An embedding and a head of different sizes are no model. */
function vocabularyOf(
  base: Checkpoint,
  tensors: ReadonlyMap<string, TensorEntry>,
  tie: ReturnType<typeof findTie>,
  adapter: Checkpoint,
): number | undefined {
  if (tie === undefined) return undefined;
  const embedding = tensors.get(tie.embedding)!;
  const rows = embedding.shape[0];
  const before = base.tensors.get(tie.embedding)!.shape[0];
  const head = tensors.get(tie.head);
  if (rows !== before && head !== undefined && head.shape[0] !== rows) {
    throw new UserError(
      `with ${adapter.ref} ${tie.embedding} has ${rows} rows but ${tie.head} has ${head.shape[0]}`,
      "the adapter must save both when its vocabulary grew",
    );
  }
  return rows === before ? undefined : rows;
}

function warnOfGaps(
  base: Checkpoint,
  config: AdapterConfig,
  modules: ReadonlyMap<string, Factors>,
  adapter: Checkpoint,
  warn: (message: string) => void,
): void {
  const changed = new Set([...modules.keys()].map((module) => nameInBase(base.tensors, `${module}.weight`)));
  const gaps = [...base.tensors.keys()].filter((name) => {
    const module = name.replace(/\.weight$/, "");
    const targeted = config.targets?.some((target) => module === target || module.endsWith(`.${target}`));
    return targeted && name !== module && !changed.has(name);
  });
  if (gaps.length > 0)
    warn(
      `${adapter.ref} targets ${gaps[0]}${gaps.length > 1 ? ` and ${gaps.length - 1} more` : ""} but has no tensors for it`,
    );
}
