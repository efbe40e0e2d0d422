/**
 * Classifier-free guidance: what a prompt makes likelier than another prompt does, made to count more,
 *
 *   log p_other(v) + scale [log p_prompt(v) - log p_other(v)] - log Z
 *
 * with the same answer so far behind both prompts. Sanchez et al. 2023, https://arxiv.org/abs/2306.17806. With
 * no other prompt this is the last token of the prompt alone, as transformers has it.
 *
 * Where the other prompt is the same without a context that stands before the question, this is context-aware decoding
 * with alpha = scale - 1: Shi et al. 2023, https://arxiv.org/abs/2305.14739.
 */
import { UserError } from "../../errors.ts";
import { type DecoderGiven, defineDecoder, type View } from "../../run/combining/contract.ts";
import { logProbabilities } from "../../run/combining/log-probabilities.ts";

const OPTIONS = {
  cfg_scale: {
    type: "number >= 0",
    default: 1.5,
    help: "1: the model as it is; 0: what it says to the other prompt",
    value: "S",
  },
  cfg_negative_prompt: {
    type: "string",
    help: "the other prompt: what the answer is to depart from; the last token of the prompt when left out",
    value: "TEXT",
  },
  cfg_context_end: {
    type: "string",
    help: "the other prompt is what stands in the prompt behind the last such text (context-aware decoding)",
    value: "TEXT",
  },
} as const;

/** What is read in the place of a prompt. Throws UserError. */
function otherPrompt({ values, encode, decode }: DecoderGiven<typeof OPTIONS>): NonNullable<View["prompt"]> {
  const { cfg_negative_prompt: negative, cfg_context_end: end } = values;
  if (negative !== undefined && end !== undefined)
    throw new UserError("--cfg-negative-prompt and --cfg-context-end both name the other prompt", "leave one out");
  if (negative !== undefined) {
    const ids = encode(negative);
    if (ids.length === 0) throw new UserError("--cfg-negative-prompt has no tokens", "leave it out, or give a text");
    return () => ids;
  }
  if (end === undefined) return (ids) => ids.slice(-1);
  if (end === "") throw new UserError("--cfg-context-end is empty", "give the text that ends the context");
  return (prompt) => {
    const text = decode(prompt);
    const at = text.lastIndexOf(end);
    const rest = text.slice(at + end.length);
    if (at >= 0 && rest !== "") return encode(rest);
    throw new UserError(
      `--cfg-context-end ${JSON.stringify(end)} ${at < 0 ? "is not in" : "ends"} the prompt ${JSON.stringify(text)}`,
      "every prompt needs a context, this text and then a question",
    );
  };
}

export const method = defineDecoder({
  name: "cfg",
  title: "Classifier-free guidance",
  about: "what a prompt makes likelier than another one counts more; context-aware decoding too",
  cite: "arXiv:2306.17806",
  options: OPTIONS,
  laws: { shiftFree: true, alike: true, whole: true },
  models: [1, 1],
  roles: "one model, without --with",

  make: (given) => ({
    views: [{ model: 0 }, { model: 0, prompt: otherPrompt(given) }],
    begin: () => (said) => {
      const [own, other] = said.map((logits) => logProbabilities(logits));
      const { cfg_scale: scale } = given.values;
      // Where the other prompt leaves a token no probability, nothing says how much more the prompt gives it.
      return own!.map((x, id) =>
        other![id] === Number.NEGATIVE_INFINITY ? x : other![id]! + scale * (x - other![id]!),
      );
    },
  }),
});
