/** The licence that a model's page on the Hub states. */
import { UserError } from "../../errors.ts";
import type { Environment } from "./cache.ts";
import { parseHubRef } from "./hub.ts";
import { askedOf } from "./listing.ts";
import { HubFetch } from "./requests.ts";

const PREFIX = "license:";

/** The licence among the tags of a model; undefined where the page states none, or cannot be seen. */
export async function licenceOnHub(ref: string, env: Environment): Promise<string | undefined> {
  const { name, revision } = parseHubRef(ref);
  const asked = await askedOf({ ref, kind: "model", name, revision }, env);
  const requests = new HubFetch(asked);
  const { modelInfo } = await import("@huggingface/hub");
  try {
    const request = {
      name,
      revision,
      hubUrl: asked.endpoint,
      additionalFields: ["tags"] as ["tags"],
      fetch: requests.fetch,
    };
    const { tags } = await modelInfo(request);
    return tags?.find((tag) => tag.startsWith(PREFIX))?.slice(PREFIX.length);
  } catch (error) {
    if (requests.failure instanceof UserError) return undefined;
    throw error;
  }
}
