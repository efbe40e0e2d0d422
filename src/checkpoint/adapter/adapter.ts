/**
 * PEFT adapters as a view of their base: LoRA, rsLoRA and DoRA on linear, convolution and embedding layers, saved
 * modules, biases, trained token rows. Low-rank parts become patches that the GPU applies on loading; the rest replaces
 * tensors.
 *
 * Hu et al. 2021, https://arxiv.org/abs/2106.09685 (LoRA); Kalajdzievski 2023, https://arxiv.org/abs/2312.03732
 * (rsLoRA); Liu et al. 2024, https://arxiv.org/abs/2402.09353 (DoRA). Checked against PEFT's own merges in
 * test/golden/train.
 */
import { createHash } from "node:crypto";
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import { type Checkpoint, isRowPatch, isStackPatch, type LineageEntry, type TensorEntry } from "../checkpoint.ts";
import { decodeFloats, encodeFloats } from "../decode.ts";
import { addBias, indicesFor, nameInBase, notFound, replacement, type View, withRows } from "./changes.ts";
import { classChanges } from "./class-head.ts";
import { rankOf, readAdapterConfig } from "./config.ts";
import { viewEntry } from "./entries.ts";
import { hasForeignTensors, refuseUnread } from "./foreign.ts";
import { formatOf } from "./format.ts";
import { isFactorName, isSavedModule, isVocabulary } from "./keys.ts";
import { readParts } from "./parts.ts";
import { changeRows, patchOf, patchRange, stackPatches } from "./patch.ts";
import { patchStacks } from "./patch-stacks.ts";
import { editConfig, findTie, type Tie } from "./tie.ts";
import { translated } from "./translated.ts";
import { foldTyped, partsOf, readTyped, typedConfig } from "./typed.ts";

/** Files that say what the rows of embeddings stand for. */
export const TOKENIZER_FILE =
  /^(tokenizer.*|special_tokens_map\.json|added_tokens\.json|vocab\..*|merges\.txt|chat_template.*)$/;

const isAdapterNames = (names: readonly string[]): boolean => names.some(isFactorName) || hasForeignTensors(names);

/** Whether a checkpoint is an adapter: it says so in adapter_config.json, or its tensors are those of one. */
export function isAdapter(checkpoint: Checkpoint): boolean {
  return checkpoint.files.has("adapter_config.json") || isAdapterNames([...checkpoint.tensors.keys()]);
}

/**
 * The base with the adapter in `file` applied, as a checkpoint of the base's dtypes; apply several in turn. The
 * adapter's factors are read now and held in f32; everything else is read when asked for, so both stay open until the
 * result is closed. With `live`, one that does not fold stays beside the base, with "all" any.
 * `warn` gets what is odd but harmless. Throws UserError when the adapter does not fit the base, whole or in part.
 *
 *     const tuned = await applyAdapter(await openPlain("base/"), await openPlain("adapter/"), { warn: console.warn });
 */
export async function applyAdapter(
  base: Checkpoint,
  file: Checkpoint,
  { warn = () => {}, live = false }: { warn?: (message: string) => void; live?: boolean | "all" } = {},
): Promise<Checkpoint> {
  refuseUnread(file);
  const adapter = await translated(file);
  const format = await formatOf(adapter);
  if (live === "all" || (format && !format.fold && live)) return besideBase(base, adapter);
  if (base.live) throw twoAtOnce(base, adapter);
  const typed = format && (await readTyped(adapter, format));
  const config = typed
    ? typedConfig(typed.json, adapter.ref)
    : readAdapterConfig(adapter.files.get("adapter_config.json"), adapter.ref);
  if (config.alpha === 0) warn(alphaWarning(adapter.ref));
  const parts = typed ? partsOf(typed) : await readParts(adapter, config);
  const view: View = { base, adapter, config, parts, tensors: new Map(base.tensors), touched: new Set() };

  // While changes are made, a tied head is a separate tensor that shows the embedding's bytes.
  const tie = findTie(base);
  if (tie?.tied) view.tensors.set(tie.head, viewEntry(base.tensors.get(tie.embedding)!, { name: tie.head }));
  replaceTensors(view, tie?.head);
  patchModules(view, warn);
  patchStacks(view);
  if (format && typed) await foldTyped(view, format, typed);
  const tokenRows = replaceRows(view);

  const changes: JsonObject = classChanges(base, adapter);
  if (tie?.tied && settleTie(view, tie, tokenRows)) changes.tie_word_embeddings = false;
  const vocabulary = tie && changedVocabulary(view, tie);
  if (vocabulary !== undefined) changes.vocab_size = vocabulary;
  warnOfGaps(view, (typed ?? parts).modules.keys(), warn);

  const files = editConfig(base.files, changes, base.ref);
  if (vocabulary !== undefined || tokenRows.size > 0) {
    for (const [name, bytes] of adapter.files) if (TOKENIZER_FILE.test(name)) files.set(name, bytes);
  }
  return {
    ref: `${base.ref}+${adapter.ref}`,
    kind: base.kind,
    tensors: view.tensors,
    files,
    lineage: lineageOf(base, adapter),
    headerSha256: digestOf(base, adapter),
    ...(base.revision === undefined ? {} : { revision: base.revision }),
    ...(base.quantized && { quantized: base.quantized }),
    close() {
      base.close();
      adapter.close();
    },
  };
}

const digestOf = (base: Checkpoint, adapter: Checkpoint): string =>
  createHash("sha256")
    .update(`${base.headerSha256}\n${adapter.headerSha256}\n`)
    .update(adapter.files.get("adapter_config.json")!)
    .digest("hex");

const lineageOf = (base: Checkpoint, adapter: Checkpoint): LineageEntry[] => [
  ...base.lineage,
  ...adapter.lineage.filter(({ run }) => !base.lineage.some((step) => step.run === run)),
];

const twoAtOnce = (base: Checkpoint, adapter: Checkpoint): UserError =>
  new UserError(
    `${adapter.ref} comes on top of ${base.ref}, whose adapter does not fold into weights`,
    "take one of them",
  );

/** The base as it is, with the adapter beside it. */
function besideBase(base: Checkpoint, adapter: Checkpoint): Checkpoint {
  if (base.live) throw twoAtOnce(base, adapter);
  return {
    ...base,
    ref: `${base.ref}+${adapter.ref}`,
    files: editConfig(base.files, classChanges(base, adapter), base.ref),
    lineage: lineageOf(base, adapter),
    headerSha256: digestOf(base, adapter),
    live: adapter,
    close() {
      base.close();
      adapter.close();
    },
  };
}

/** PEFT multiplies by alpha / r: such an adapter changes nothing, which its maker hardly wanted. */
export const alphaWarning = (ref: string): string =>
  `${ref}: lora_alpha is 0 in adapter_config.json: its low-rank changes are multiplied by 0 and have no effect`;

/** Tensors that the adapter holds whole: saved modules, vocabularies, biases. `head` may be new. */
function replaceTensors(view: View, head: string | undefined): void {
  const { base, adapter, config, parts, tensors, touched } = view;
  for (const [key, saved] of parts.replaced) {
    const known = nameInBase(tensors, key);
    if (known === undefined && !isSavedModule(key, config) && !(isVocabulary(key) && key === head)) {
      throw notFound(key, base, adapter);
    }
    const name = known ?? key;
    tensors.set(name, replacement(known === undefined ? undefined : tensors.get(known), saved, name, adapter.ref));
    touched.add(name);
  }
}

/** Low-rank factors become patches on the weights, their biases are added to the layers'. */
function patchModules(view: View, warn: (message: string) => void): void {
  const { base, adapter, config, parts, tensors, touched } = view;
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
    tensors.set(name, viewEntry(entry, { patch: stackPatches(entry, patch, adapter.ref) }));
    touched.add(name);
    if (factors.bBias !== undefined) addBias(view, module, factors.bBias, patch.scale);
  }
}

/** Trained token rows; the names of the embeddings that got some. */
function replaceRows({ base, adapter, config, parts, tensors }: View): ReadonlySet<string> {
  const changed = new Set<string>();
  for (const [module, rows] of parts.tokens) {
    const name = nameInBase(tensors, `${module}.weight`);
    if (name === undefined) throw notFound(`${module}.weight`, base, adapter);
    const indices = indicesFor(module, config, adapter.ref);
    tensors.set(name, withRows(tensors.get(name)!, rows, indices, adapter.ref));
    changed.add(name);
  }
  return changed;
}

/**
 * Unties embedding and head where the adapter changed one of them, and else puts the tie back. Returns whether they are
 * untied now. `tokenRows` are embeddings with trained rows, which PEFT trains on both sides of a tie.
 */
function settleTie(view: View, tie: Tie, tokenRows: ReadonlySet<string>): boolean {
  const { base, adapter, config, parts, tensors, touched } = view;
  const kept = config.ensureWeightTying && touched.has(tie.embedding);
  if (kept || (!touched.has(tie.embedding) && !touched.has(tie.head))) {
    const head = base.tensors.get(tie.head);
    if (head) tensors.set(tie.head, head);
    else tensors.delete(tie.head);
    return false;
  }
  if (base.kind === "stream") {
    throw new UserError(
      `${adapter.ref} unties the embeddings of ${base.ref}, which comes as a stream and can be read only once`,
      "write the base to a folder first, then apply the adapter to that",
    );
  }
  if (tokenRows.has(tie.embedding) && !tokenRows.has(tie.head)) {
    const [module, rows] = [...parts.tokens].find(([name]) => nameInBase(tensors, `${name}.weight`) === tie.embedding)!;
    const indices = indicesFor(module, config, adapter.ref);
    tensors.set(tie.head, withRows(tensors.get(tie.head)!, rows, indices, adapter.ref));
  }
  return true;
}

/**
 * A float tensor with its patch applied as a merged checkpoint holds it, rounded to the tensor's own dtype: the
 * reference for the GPU's path, and for small tensors.
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
  const { patch } = entry;
  if (isRowPatch(patch)) return changeRows(patch, weight, entry.shape);
  if (isStackPatch(patch)) {
    patchRange(entry, weight, 0);
    return weight;
  }
  const { a, b, rank, scale, magnitude, transposed } = patch;
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

/** Rows of the new vocabulary if it changed. Throws UserError when embedding and head then differ in size. */
function changedVocabulary({ base, adapter, tensors }: View, tie: Tie): number | undefined {
  const rows = tensors.get(tie.embedding)!.shape[0];
  if (rows === base.tensors.get(tie.embedding)!.shape[0]) return undefined;
  const head = tensors.get(tie.head);
  if (head !== undefined && head.shape[0] !== rows) {
    throw new UserError(
      `with ${adapter.ref} ${tie.embedding} has ${rows} rows but ${tie.head} has ${head.shape[0]}`,
      "the adapter must save both when its vocabulary grew",
    );
  }
  return rows;
}

/** Warns of modules that the config names and the adapter has no tensors for. */
function warnOfGaps({ base, adapter, config }: View, adapted: Iterable<string>, warn: (message: string) => void): void {
  const changed = new Set([...adapted].map((module) => nameInBase(base.tensors, `${module}.weight`)));
  const gaps = [...base.tensors.keys()].filter((name) => {
    const module = name.replace(/\.weight$/, "");
    const targeted = config.targets?.some((target) => module === target || module.endsWith(`.${target}`));
    return targeted && name !== module && !changed.has(name);
  });
  if (gaps.length === 0) return;
  const others = gaps.length > 1 ? ` and ${gaps.length - 1} more` : "";
  warn(`${adapter.ref} targets ${gaps[0]}${others} but has no tensors for it`);
}
