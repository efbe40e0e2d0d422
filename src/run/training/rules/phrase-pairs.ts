/** Pairs of phrases: a new one, and the one whose meaning it is to keep. JSON lines of `new` and `anchor`. */
import { readJsonFile } from "../../../data/files/jsonl.ts";
import { UserError } from "../../../errors.ts";
import { isObject, show } from "../../../json.ts";

export interface PhrasePair {
  readonly fresh: string;
  readonly anchor: string;
  /** File and line. */
  readonly place: string;
}

const HINT = 'it holds lines such as {"new": "a blicket dog", "anchor": "a dog"}';

/** Reads them all. Throws UserError, with the line, for what is no pair. */
export async function readPhrasePairs(file: string): Promise<PhrasePair[]> {
  const pairs: PhrasePair[] = [];
  for await (const { value, place } of readJsonFile(file, { flag: "--class-anchor", hint: HINT })) {
    const { new: fresh, anchor } = isObject(value) ? value : {};
    for (const [key, phrase] of Object.entries({ new: fresh, anchor }))
      if (typeof phrase !== "string" || phrase.trim() === "")
        throw new UserError(
          `${place}: ${key} should be a phrase, found ${phrase === undefined ? "nothing" : show(JSON.stringify(phrase))}`,
          'a line is {"new": "a blicket dog", "anchor": "a dog"}',
        );
    pairs.push({ fresh: fresh as string, anchor: anchor as string, place });
  }
  if (pairs.length === 0)
    throw new UserError(`--class-anchor ${file} has no pairs`, 'a line is {"new": "a blicket dog", "anchor": "a dog"}');
  return pairs;
}
