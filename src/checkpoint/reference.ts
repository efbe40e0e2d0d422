/**
 * What a recipe calls a model: a path or Hub name, a revision, an adapter on top.
 *
 * In a string they are written `path[@revision][+adapter[@revision]]`, as mergekit does. A path that itself holds `+`
 * or `@` needs the map form, `{model: {path: ...}, lora: {path: ...}}`.
 */
import { existsSync } from "node:fs";
import { UserError } from "../errors.ts";

export interface Located {
  readonly path: string;
  readonly revision?: string;
}

export interface ModelReference extends Located {
  readonly adapter?: Located;
}

const isLocal = (text: string): boolean => /^(\.{0,2}[\\/]|\.{1,2}$|~|[A-Za-z]:[\\/])/.test(text);

/**
 * Splits `path@revision`. In a local path only the last component can carry a revision, so `/home/me@host/model` stays
 * whole.
 */
function located(text: string): Located {
  const at = isLocal(text) ? text.lastIndexOf("@") : text.indexOf("@", 1);
  if (at <= 0 || at === text.length - 1) return { path: text };
  const revision = text.slice(at + 1);
  if (isLocal(text) && /[\\/]/.test(revision)) return { path: text };
  return { path: text.slice(0, at), revision };
}

/** Reads a model reference from a string. Throws a UserError when it has more than one adapter or an empty part. */
export function parseReference(text: string): ModelReference {
  const parts = text.split("+");
  if (parts.length > 2) {
    throw new UserError(
      `model "${text}" has ${parts.length - 1} adapters, expected at most one`,
      "write a path that contains + as a map: {model: {path: ...}}",
    );
  }
  if (parts.some((part) => part.trim() === "")) {
    throw new UserError(`model "${text}" has an empty part`, "write path[@revision][+adapter[@revision]]");
  }
  const model = located(parts[0]!.trim());
  return parts.length === 1 ? model : { ...model, adapter: located(parts[1]!.trim()) };
}

const spell = ({ path, revision }: Located): string => (revision === undefined ? path : `${path}@${revision}`);

/** `./a/` and `a` are one folder. */
const tidy = (ref: Located): Located => ({
  ...ref,
  path: ref.path.replace(/^(\.[\\/])+(?=[^\\/])/, "").replace(/(?<=.)[\\/]+$/, ""),
});

/** The reference as one string: the key of opened checkpoints, equal for two ways to write one path. */
export const referenceKey = (ref: ModelReference): string =>
  ref.adapter === undefined ? spell(tidy(ref)) : `${spell(tidy(ref))}+${spell(tidy(ref.adapter))}`;

/**
 * The reference as the opener of checkpoints takes it: what is on disk (relative to the working directory) by its path,
 * and `org/name` that is not on disk as `hf:org/name`, since mergekit's recipes name Hub models without a scheme. A
 * revision has no meaning for files on disk and is left out there.
 */
export function openable(ref: ModelReference, onDisk: (path: string) => boolean = existsSync): string {
  const one = (part: Located): string => {
    if (part.path === "-" || part.path.startsWith("hf:")) return spell(part);
    if (onDisk(part.path)) return part.path;
    return /^[\w.-]+\/[\w.-]+$/.test(part.path) && !isLocal(part.path) ? `hf:${spell(part)}` : part.path;
  };
  return ref.adapter === undefined ? one(ref) : `${one(ref)}+${one(ref.adapter)}`;
}
