#!/usr/bin/env bun
/**
 * Answer over HTTP as OpenAI's API does.
 *
 *   bun run serve model/
 *   bun run serve before=a/ after=b/ --port 0
 */
import { script } from "../src/cli/script.ts";
import { SERVE } from "../src/sample/serving/options.ts";

await script({
  name: "serve",
  about: "Answer over HTTP as OpenAI's API does.",
  args: "[...models]",
  examples: ["bun run serve model/", "bun run serve before=a/ after=b/ --port 0"],
  methods: "decoder",
  output: "none",
  options: SERVE,
  essentials: [
    "host",
    "port",
    "api_key_file",
    "max_tokens",
    "timeout",
    "queue",
    "batch_size",
    "with",
    "draft",
    "dtype",
  ],
  notes: `A model is called by the last part of its path, or by NAME in NAME=PATH. What an answer draws follows from the request's seed, not
from what is answered beside it; a request without one has draws of its own, which follow from --seed and its number.`,
  run: async (context) => (await import("../src/sample/commands/serve.ts")).serve(context),
});
