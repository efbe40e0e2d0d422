/**
 * Names that training wrappers leave in a saved model: torch.compile, DataParallel and FSDP put the model into a module
 * of their own, and state dicts saved through them carry that module's name. It is taken off while a checkpoint is
 * opened, with a remark, so that such a save is the model it was made from.
 */
import { UserError } from "../errors.ts";
import { show } from "../json.ts";
import { viewEntry } from "./adapter/entries.ts";
import type { Checkpoint, TensorEntry } from "./checkpoint.ts";
import { isStream, type StreamCheckpoint } from "./stream/stream.ts";

/** Modules that only wrappers have, wherever they stand in a name, and what writes them. */
const WRAPPERS: Readonly<Record<string, string>> = {
  _orig_mod: "torch.compile",
  _fsdp_wrapped_module: "FSDP",
  _checkpoint_wrapped_module: "activation checkpointing",
  _forward_module: "Lightning",
};

/** What PEFT puts before the names of a base. */
const PEFT = "base_model.model.";

/** Doubled when a module that holds a whole model was saved: both names stand before every tensor but the head's. */
const DOUBLED = ["model", "transformer", "gpt_neox"];
const HEADS = /^(lm_head|embed_out|score|classifier)\./;

interface Stripped {
  readonly name: string;
  /** What was taken off. */
  readonly parts: readonly string[];
}

function withoutWrappers(name: string): Stripped {
  const parts = name.split(".");
  const kept = parts.filter((part) => !Object.hasOwn(WRAPPERS, part));
  if (kept.length === parts.length) return { name, parts: [] };
  return { name: kept.join("."), parts: parts.filter((part) => Object.hasOwn(WRAPPERS, part)) };
}

/** A prefix that all names share, by what it may be; undefined when none of those it can be is there. */
function sharedPrefix(names: readonly string[]): { before: string; prefix: string } | undefined {
  const all = (prefix: string) => names.every((name) => name.startsWith(prefix));
  if (all("module.")) return { before: "", prefix: "module." };
  if (all(`${PEFT}module.`)) return { before: PEFT, prefix: "module." };
  if (all(`${PEFT}${PEFT}`)) return { before: "", prefix: PEFT };
  for (const module of DOUBLED) {
    const prefix = `${module}.`;
    const inner = names.filter((name) => name.startsWith(prefix + prefix));
    const isHead = (name: string) => name.startsWith(prefix) && HEADS.test(name.slice(prefix.length));
    if (inner.length > 0 && names.every((name) => name.startsWith(prefix + prefix) || isHead(name))) {
      return { before: "", prefix };
    }
  }
  return undefined;
}

/** The names without what wrappers put there, in the same order, and which of it was found. */
export function plainNames(names: readonly string[]): { names: string[]; found: string[] } {
  const found = new Set<string>();
  let plain = names.map((name) => {
    const stripped = withoutWrappers(name);
    for (const part of stripped.parts) found.add(`${part}.`);
    return stripped.name;
  });
  for (let shared = sharedPrefix(plain); shared !== undefined && plain.length > 0; shared = sharedPrefix(plain)) {
    const { before, prefix } = shared;
    found.add(prefix);
    plain = plain.map((name) => before + name.slice(before.length + prefix.length));
  }
  return { names: plain, found: [...found] };
}

/**
 * The checkpoint under plain names; itself when no wrapper left any. `warn` gets one remark. Throws UserError when two
 * tensors would have one name.
 */
export function withPlainNames(checkpoint: Checkpoint, warn: (message: string) => void): Checkpoint {
  const stored = [...checkpoint.tensors.keys()];
  const { names, found } = plainNames(stored);
  if (found.length === 0) return checkpoint;
  const tensors = new Map<string, TensorEntry>();
  const storedNames = new Map<string, string>();
  for (const [i, name] of names.entries()) {
    if (tensors.has(name)) {
      const both = [storedNames.get(name)!, stored[i]!].map(show).join(" and ");
      throw new UserError(
        `${checkpoint.ref} has ${both}, which are one tensor without the names of wrappers`,
        "save the model itself: the wrapper's .module or ._orig_mod",
      );
    }
    tensors.set(name, viewEntry(checkpoint.tensors.get(stored[i]!)!, { name }));
    storedNames.set(name, stored[i]!);
  }
  const makers = [...new Set(found.map((prefix) => WRAPPERS[prefix.slice(0, -1)]).filter((maker) => maker))];
  const by = makers.length === 0 ? "a wrapper" : makers.join(" and ");
  warn(`${checkpoint.ref} was saved through ${by}: ${found.join(", ")} taken off the names of its tensors`);
  if (!isStream(checkpoint)) return { ...checkpoint, tensors };
  const renamed: StreamCheckpoint = {
    ...checkpoint,
    tensors,
    retain: (name) => checkpoint.retain(storedNames.get(name) ?? name),
  };
  return renamed;
}
