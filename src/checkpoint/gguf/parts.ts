/**
 * A GGUF model in one file or in several, `name-00001-of-00003.gguf` and so on, as llama-gguf-split writes them: the
 * first part has the metadata, every part a table of its own tensors. Any part names the whole.
 */
import fs from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.ts";
import { Source } from "../source.ts";
import { type GgufHeader, readGgufHeader } from "./header.ts";

export interface GgufPart {
  readonly source: Source;
  readonly header: GgufHeader;
}

/** More parts than this are not written: a model of 10 TB in parts of 10 GB. */
const MOST_PARTS = 1000;

const NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

/** Names of all parts where `file` is one of several, else undefined. A folder before the name stays. */
export function partNames(file: string): string[] | undefined {
  const [, stem, , of] = NAME.exec(file) ?? [];
  const count = Number(of);
  if (stem === undefined || count < 2 || count > MOST_PARTS) return undefined;
  return Array.from({ length: count }, (_, i) => `${stem}-${String(i + 1).padStart(5, "0")}-of-${of}.gguf`);
}

/** Opens all parts in order and reads their headers. Throws UserError where they are not those of one model. */
export async function openParts(file: string, ref: string): Promise<GgufPart[]> {
  const parts = [await openPart(file, ref)];
  try {
    const count = numberOf(parts[0]!, "split.count");
    if (count <= 1) return parts;
    const names = partNames(path.basename(file));
    if (names?.length !== count) {
      throw new UserError(
        `${ref} is one of ${count} parts of a model, and its name does not say which are the others`,
        "name them as llama-gguf-split does: x-00001-of-00002.gguf",
      );
    }
    parts.pop()!.source.close();
    const own = path.basename(file);
    for (const name of names) {
      const beside = path.join(path.dirname(file), name);
      const shown = ref.endsWith(own) ? ref.slice(0, -own.length) + name : name;
      if (!fs.existsSync(beside)) {
        throw new UserError(`${ref} is one of ${count} parts of a model, and ${shown} is not there`, "fetch all parts");
      }
      parts.push(await openPart(beside, shown));
    }
    checkParts(parts, count);
    return parts;
  } catch (error) {
    for (const { source } of parts) source.close();
    throw error;
  }
}

async function openPart(file: string, ref: string): Promise<GgufPart> {
  const source = Source.open(file, ref);
  try {
    return { source, header: await readGgufHeader(source) };
  } catch (error) {
    source.close();
    throw error;
  }
}

const numberOf = ({ header }: GgufPart, key: string): number => Number(header.metadata.get(key) ?? 0);

function checkParts(parts: readonly GgufPart[], count: number): void {
  const hint = "the parts are of different models or writes; fetch them again";
  for (const [i, part] of parts.entries()) {
    const [no, of] = [numberOf(part, "split.no"), numberOf(part, "split.count")];
    if (no !== i || of !== count) {
      throw new UserError(`${part.source.what} says that it is part ${no + 1} of ${of}`, hint);
    }
  }
  const stated = numberOf(parts[0]!, "split.tensors.count");
  const found = parts.reduce((sum, { header }) => sum + header.tensors.length, 0);
  if (stated !== found) {
    throw new UserError(
      `${parts[0]!.source.what} says that all parts have ${stated} tensors; they have ${found}`,
      hint,
    );
  }
}
