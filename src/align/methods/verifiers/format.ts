/**
 * The form of an answer: tags in their order, each once, or a regular expression for the whole of it. The format reward
 * of DeepSeek-R1, 2025, https://arxiv.org/abs/2501.12948
 */
import { defineVerifier, each } from "../../verifying/contract.ts";
import { patternOf } from "../../verifying/pattern.ts";

const NAMES = /^[a-z][\w-]*(,[a-z][\w-]*)*$/i;

/** Whether a text is <a>...</a> <b>...</b>, spaces between them aside, and no tag comes twice. */
function isTagged(text: string, names: readonly string[]): boolean {
  let rest = text.trim();
  for (const name of names) {
    const [open, close] = [`<${name}>`, `</${name}>`];
    if (!rest.startsWith(open)) return false;
    const end = rest.indexOf(close);
    if (end < 0) return false;
    const inside = rest.slice(open.length, end);
    if (names.some((other) => inside.includes(`<${other}>`) || inside.includes(`</${other}>`))) return false;
    rest = rest.slice(end + close.length).trim();
  }
  return rest === "";
}

export const method = defineVerifier({
  name: "format",
  title: "Format",
  about: "1 where the answer is a sequence of tags, or matches a regular expression from end to end",
  cite: "arXiv:2501.12948",
  laws: { alone: true, truth: "completions need not have the form", range: true },
  range: [0, 1],
  options: {},
  argument: {
    value: "TAGS|REGEX",
    help: "names of tags in their order (think,answer, when left out), or what the whole answer matches",
    required: false,
  },
  make(setup) {
    const text = setup.text === "" ? "think,answer" : setup.text;
    if (NAMES.test(text)) {
      const names = text.split(",");
      return each(({ answer }) => (isTagged(answer, names) ? 1 : 0));
    }
    patternOf(setup, text);
    const whole = patternOf(setup, `^(?:${text})$`);
    return each(({ answer }) => (whole.test(answer.trim()) ? 1 : 0));
  },
});
