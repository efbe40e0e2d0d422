/** The thread that runs the templates and patterns of a task file: it can be ended where one of them does not end. */
import type { JsonObject } from "../../json.ts";
import { type Found, type Matcher, matchesOf } from "./matches.ts";
import { type DocumentTexts, type Fields, type Jinja, textsOf } from "./texts.ts";

export type Request =
  | { readonly kind: "texts"; readonly fields: Fields; readonly documents: readonly JsonObject[] }
  | { readonly kind: "matches"; readonly matchers: readonly Matcher[]; readonly rows: readonly Found[] };

export type Answer =
  | { readonly texts: readonly DocumentTexts[] }
  | { readonly matches: readonly (readonly number[])[] }
  | { readonly error: string };

declare const self: Worker;

self.onmessage = async ({ data }: MessageEvent<Request>) => {
  try {
    if (data.kind === "matches") self.postMessage({ matches: matchesOf(data.matchers, data.rows) });
    else {
      const jinja: Jinja = await import("@huggingface/jinja");
      self.postMessage({ texts: textsOf(jinja, data.fields, data.documents) });
    }
  } catch (error) {
    self.postMessage({ error: (error as Error).message });
  }
};
