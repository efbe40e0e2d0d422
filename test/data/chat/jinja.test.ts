/** Templates of a model are rendered under a budget: what no conversation needs is refused, soon and by name. */
import { expect, test } from "bun:test";
import { jinjaTemplate } from "../../../src/data/chat/jinja.ts";
import { markGenerations, readMarks } from "../../../src/data/chat/marks.ts";
import { loadTemplate } from "../../../src/data/template.ts";
import { HANG_MS } from "../../support/hang.ts";
import { installed, rejection } from "../support.ts";
import { QWEN3 } from "./styles.ts";

const jinja = await installed("@huggingface/jinja");
const MESSAGES = [{ role: "user", content: "x".repeat(100) }];

/** What is said of a template, and whether that took less than some seconds. */
async function refused(source: string): Promise<string> {
  const template = await loadTemplate(new Map([["chat_template.jinja", new TextEncoder().encode(source)]]), "m/");
  const began = performance.now();
  let message = "";
  try {
    template!.render(MESSAGES);
  } catch (error) {
    message = (error as Error).message;
  }
  expect(performance.now() - began).toBeLessThan(HANG_MS);
  return message;
}

const LOOP = "{% for i in range(100000) %}";

test.skipIf(!jinja)("endless loops, recursion and texts are refused", async () => {
  const steps = /^m\/: chat_template\.jinja: the template asks for \d+ steps, more than any conversation needs$/;
  expect(await refused("{% for i in range(1000000000) %}{% endfor %}")).toContain("range() of 1000000000 items");
  expect(await refused("{% for i in range(0, -1000000000, -1) %}{% endfor %}")).toContain("range() of 1000000000");
  expect(await refused(`${LOOP}${LOOP}{% endfor %}{% endfor %}`)).toMatch(steps);
  expect(await refused(`{% set r = range(90000) %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}`)).toMatch(
    steps,
  );
  expect(await refused(`{% set r = range(90000) %}${LOOP}{{ r | join('') | length }}{% endfor %}`)).toMatch(steps);
  expect(await refused(`${LOOP}${LOOP}{{ i }}{% endfor %}{% endfor %}`)).toMatch(steps);
  expect(await refused("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}")).toContain("1000 deep");
  expect(
    await refused("{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"),
  ).toContain("a value of 4194304 letters");
  const list = "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}";
  expect(await refused(list)).toContain("a value of 4194320 letters");
  const laughs = "{% set ns = namespace(s=[1]) %}{% for i in range(40) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}";
  expect(await refused(`${laughs}{{ ns.s | tojson }}`)).toContain("a value of");
  const spaces = Array.from(
    { length: 40 },
    (_, i) => `{% set n${i} = namespace(a=1) %}{% set l${i} = [n${i}, n${i}] %}`,
  );
  const nested = Array.from({ length: 39 }, (_, i) => `{% set n${i + 1}.a = l${i} %}`);
  expect(await refused(`${spaces.join("")}{{ l39 }}${nested.join("")}{{ l39 }}`)).toContain("a value of");
  expect(await refused("{% set ns = namespace(a=1) %}{% set ns.a = [ns] %}{{ ns.a }}")).toContain("1000 deep");
  expect(await refused(`{% set r = range(90000) %}${LOOP}{{ 5.5 in r }}{% endfor %}`)).toMatch(steps);
  const search = "{% set ns = namespace(s='ab') %}{% for i in range(20) %}{% set ns.s = ns.s + ns.s %}{% endfor %}";
  expect(await refused(`${search}${LOOP}{{ 'x' in ns.s }}{% endfor %}`)).toMatch(steps);
  expect(await refused("{{ 'a\\nb' | indent(1000000000) }}")).toContain("an indentation of 1000000000");
  expect(await refused("{{ messages | tojson(indent=1000000 * 1000) }}")).toContain("an indentation of 1000000000");
  expect(await refused(`${search}{{ ns.s | replace('a', ns.s) }}`)).not.toBe("");
});

test.skipIf(!jinja)("a long conversation is within the budget", async () => {
  const messages = Array.from({ length: 400 }, (_, i) => ({ role: i % 2 ? "assistant" : "user", content: `say ${i}` }));
  const { render } = await jinjaTemplate(QWEN3, "m/");
  const text = render({ messages, add_generation_prompt: false });
  expect(text.split("<|im_end|>")).toHaveLength(401);
});

test.skipIf(!jinja)("templates may ask for the date, and cannot rename what they are given", async () => {
  const { render } = await jinjaTemplate("{{ strftime_now('%Y') | int > 2000 }} {{ True }} {{ range(2, 8, 3) }}", "m/");
  expect(render({})).toBe("true true [2, 5]");
  expect((await rejection(jinjaTemplate("{% if %}", "m/"))).message).not.toBe("");
});

test("marks are read where the tags keep their white space as other tags do", () => {
  expect(markGenerations("{{ a }}")).toBeUndefined();
  const marked = markGenerations("a {%- generation -%} b {% endgeneration %}")!;
  expect(marked).toBe('a {%- if true %}{{ "\u{10fffe}" }}{% endif -%} b {% if true %}{{ "\u{10ffff}" }}{% endif %}');
  expect(readMarks("a\u{10fffe}bc\u{10ffff}d", "")).toEqual({ text: "abcd", spans: [{ from: 1, to: 3 }] });
  expect(() => readMarks("", "x\u{10ffff}")).toThrow("the row has U+10FFFE or U+10FFFF, which are no characters");
});
