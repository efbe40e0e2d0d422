/**
 * Jinja templates from files that nobody vouches for: rendered by @huggingface/jinja under a budget, so that no loop,
 * recursion or doubling of a text holds up the process.
 *
 * Every node that is evaluated costs a step, every item of a list that a loop or a filter walks some more, and every 64
 * letters of a value one. Values are limited in size, with all that is in them as often as it is.
 */
import { UserError } from "../../errors.ts";
import { library } from "../../library.ts";

type Jinja = typeof import("@huggingface/jinja");
type Interpreter = InstanceType<Jinja["Interpreter"]>;
type Node = Parameters<Interpreter["evaluate"]>[0];
type Scope = Parameters<Interpreter["evaluate"]>[1];
type Value = ReturnType<Interpreter["evaluate"]>;

/** Steps of a rendering, besides those that its values call for. */
const STEPS = 1_000_000;
/** Steps for each letter of the values. */
const STEPS_PER_LETTER = 50;
/** Letters of the largest value, besides what is given, and what an item of a list counts as. */
const LETTERS = 4_000_000;
const LETTERS_PER_ITEM = 16;
/** The longest range. */
const ITEMS = 100_000;
/** Steps for an item of a list that is walked: the library makes a scope for each. */
const STEPS_PER_ITEM = 8;
const DEPTH = 1000;
/** The widest indentation. */
const WIDTH = 1000;
/** Filters that look at no item of a list. */
const LOOKS = new Set(["length", "count", "first", "last", "default", "d", "string"]);

export interface Renderer {
  /** Renders with values. Throws Error for what the template refuses, and UserError where the budget is spent. */
  render(values: Readonly<Record<string, unknown>>): string;
}

/** Parses a template. Throws Error for what is none; UserError where the library is missing. */
export async function jinjaTemplate(source: string, purpose: string): Promise<Renderer> {
  const jinja = await library<Jinja>("@huggingface/jinja", purpose);
  const program = jinja.parse(jinja.tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  return {
    render(values) {
      const globals = new jinja.Environment();
      for (const [name, value] of Object.entries(globalsOf(jinja))) globals.set(name, value);
      const scope = new jinja.Environment(globals);
      for (const [name, value] of Object.entries(values)) scope.set(name, value);
      const result = new (boundedInterpreter(jinja, JSON.stringify(values).length))(scope).run(program);
      return String(result.value);
    },
  };
}

/** What a chat template may call. */
const globalsOf = ({ Template }: Jinja) => ({
  false: false,
  true: true,
  none: null,
  False: false,
  True: true,
  None: null,
  raise_exception(message: unknown) {
    throw new Error(String(message));
  },
  range,
  strftime_now: (format: unknown) => new Template("{{ strftime_now(format) }}").render({ format }),
});

function range(first: unknown, second?: unknown, third: unknown = 1): number[] {
  const [from, to] = second === undefined ? [0, Number(first)] : [Number(first), Number(second)];
  const step = Number(third);
  if (step === 0 || !Number.isFinite(step)) throw new Error("range() needs a step that is not zero");
  const length = Math.max(0, Math.ceil((to - from) / step));
  if (length > ITEMS) throw overspent(`range() of ${length} items`);
  return Array.from({ length }, (_, i) => from + i * step);
}

const overspent = (what: string): UserError =>
  new UserError(
    `the template asks for ${what}, more than any conversation needs`,
    "it comes with the model and may be hostile; --template plain does without it",
  );

/** An interpreter with a budget for values of `letters` letters as JSON. */
function boundedInterpreter({ Interpreter }: Jinja, letters: number) {
  const most = STEPS + STEPS_PER_LETTER * letters;
  const largest = LETTERS + LETTERS_PER_ITEM * letters;
  return class extends Interpreter {
    #steps = 0;
    #depth = 0;
    /** Nodes whose list is walked. */
    readonly #walked = new Set<unknown>();
    /** What lists weigh. Those that hold a namespace, which may change, are weighed again. */
    readonly #weights = new WeakMap<object, number>();
    #isFluid = false;

    override evaluate(node: Node, scope: Scope): Value {
      if (++this.#depth > DEPTH) throw overspent(`expressions or macros within each other, ${DEPTH} deep,`);
      if (++this.#steps > most) throw overspent(`${most} steps`);
      const type = node?.type;
      if (type === "For") this.#walked.add(inner(inner(node, "iterable"), "lhs"));
      else if (type === "FilterExpression") this.#prepare(node, scope);
      const value = super.evaluate(node, scope);
      this.#depth--;
      const own = value.value;
      if (typeof own === "string" ? own.length > 63 : typeof own === "object" && own !== null) this.#weigh(node, value);
      return value;
    }

    #spend(steps: number): void {
      this.#steps += steps;
      if (this.#steps > most) throw overspent(`${most} steps`);
    }

    /** Notes which list a filter will walk, and checks how far it indents. */
    #prepare(node: Node, scope: Scope): void {
      const filter = inner(node, "filter");
      const name = nameOf(inner(filter, "callee"));
      if (!LOOKS.has(name)) this.#walked.add(inner(node, "operand"));
      if (name !== "indent" && name !== "tojson") return;
      for (const argument of argumentsOf(filter)) {
        const width = Number(this.evaluate(argument, scope).value);
        if (width > WIDTH) throw overspent(`an indentation of ${width}`);
      }
    }

    /** Counts what a value costs. */
    #weigh(node: Node, value: Value): void {
      const weight = this.#weight(value, 0);
      if (weight > largest) throw overspent(`a value of ${weight} letters`);
      this.#spend(weight >> 6);
      if (!this.#walked.has(node)) return;
      const items = Array.isArray(value.value) ? value.value.length : value.value instanceof Map ? value.value.size : 0;
      this.#spend(items * STEPS_PER_ITEM);
    }

    /** Letters that a value has, with all that is in it as often as it is; a list and each of its items count, too. */
    #weight({ type, value }: Value, depth: number): number {
      if (typeof value === "string") return value.length;
      if (!Array.isArray(value) && !(value instanceof Map)) return LETTERS_PER_ITEM;
      const known = this.#weights.get(value);
      if (known !== undefined) return known;
      if (depth > DEPTH) throw overspent(`lists within each other, ${DEPTH} deep,`);
      this.#spend(1);
      const outer = this.#isFluid;
      this.#isFluid = type === "NamespaceValue";
      let sum = LETTERS_PER_ITEM;
      for (const item of value.values()) sum += LETTERS_PER_ITEM + this.#weight(item, depth + 1);
      if (!this.#isFluid) this.#weights.set(value, sum);
      this.#isFluid ||= outer;
      return sum;
    }
  };
}

/** A node's own node of that name, if it has one; else the node. */
const inner = (node: unknown, key: string): unknown =>
  typeof node === "object" && node !== null && key in node ? Reflect.get(node, key) : node;

const nameOf = (node: unknown): string => String(inner(node, "value"));

function argumentsOf(call: unknown): NonNullable<Node>[] {
  const list = inner(call, "args");
  return (Array.isArray(list) ? list : []).map((argument) =>
    nameOf(inner(argument, "type")) === "KeywordArgumentExpression" ? Reflect.get(argument, "value") : argument,
  );
}
