/** Options of `serve`: how `sample` writes, and what the server allows. */
import type { Options } from "../../method/options.ts";
import { SAMPLE } from "../options.ts";

/** What a request says by itself, or is asked of the command line alone. */
const { prompt, prompts, chat, system, effort, stop, samples, columns, max_tokens, ...WRITING } = SAMPLE;
const { temperature, top_k, top_p, min_p, typical_p, ...NO_DRAWS } = WRITING;
const { epsilon, eta, top_n_sigma, repetition_penalty, batch_size, ...OF_MODELS } = NO_DRAWS;

export const SERVE = {
  host: { type: "string", default: "127.0.0.1", decides: "nothing", help: "address to listen on", value: "HOST" },
  port: {
    type: "0 <= number.integer <= 65535",
    default: 8000,
    decides: "nothing",
    help: "port to listen on; 0: any that is free, which is told",
    value: "PORT",
  },
  api_key_file: {
    type: "string",
    decides: "nothing",
    help: "file of the key that clients have to give; the variable INGOT_API_KEY does the same",
    value: "FILE",
  },
  max_tokens: {
    type: "number.integer >= 1",
    default: 1024,
    short: "m",
    help: "most tokens of an answer that a request may ask for",
    value: "N",
  },
  max_body: {
    type: "number.integer >= 1",
    default: 4_000_000,
    decides: "nothing",
    help: "most bytes of a request",
    value: "BYTES",
  },
  body_timeout: {
    type: "0 < number <= 255",
    default: 10,
    decides: "nothing",
    help: "seconds until all of a request has to be here",
    value: "S",
  },
  timeout: {
    type: "number > 0",
    default: 600,
    decides: "nothing",
    help: "seconds after which a request is ended, whether it waits or is answered",
    value: "S",
  },
  queue: {
    type: "number.integer >= 1",
    default: 256,
    decides: "nothing",
    help: "answers that may wait; with so many a request is refused (429)",
    value: "N",
  },
  batch_size: { ...SAMPLE.batch_size, decides: "nothing" },
  for: {
    type: "number >= 0",
    default: 0,
    decides: "nothing",
    help: "seconds after which the server ends by itself; 0: never",
    value: "S",
  },
  ...OF_MODELS,
} as const satisfies Options;
