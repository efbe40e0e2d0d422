/**
 * Any command: it reads answers as JSON lines and writes a reward for each, as graders of code and proofs do. Common
 * practice.
 *
 * What the model says reaches it through stdin alone, never through the shell. `--verify COMMAND` is short for
 * `--reward "command:COMMAND"`.
 */
import { commandVerifier } from "../../verifying/command/command-verifier.ts";
import { defineVerifier } from "../../verifying/contract.ts";

export const method = defineVerifier({
  name: "command",
  title: "Command",
  about: "what a command says, which reads answers as JSON lines and writes a number for each",
  cite: "common practice",
  laws: {
    alone: "a command may compare the answers of a batch",
    truth: "a command says what it says",
    range: "a command says what it says",
  },
  range: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
  options: {},
  argument: { value: "COMMAND", help: "a line of the shell", required: true },
  trial: "sed 's/.*/1/'",
  make: ({ text, limits }) => commandVerifier(text, limits),
});
