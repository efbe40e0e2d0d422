/** What `sample --json` wrote: prompts, and what models made of them. */
import { isObject } from "../run-builder.ts";

export interface Sample {
  readonly prompt: string;
  readonly text: string;
}

/** The samples of a text of JSON lines; undefined where a line is none. */
export function samplesOf(text: string): Sample[] | undefined {
  const samples: Sample[] = [];
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    try {
      const row: unknown = JSON.parse(line);
      if (!isObject(row) || typeof row.prompt !== "string" || typeof row.text !== "string") return undefined;
      samples.push({ prompt: row.prompt, text: row.text });
    } catch {
      return undefined;
    }
  }
  return samples.length > 0 ? samples : undefined;
}
