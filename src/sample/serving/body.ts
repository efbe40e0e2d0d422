/** The body of a request: bounded in bytes and in time. */

import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import { parseJson } from "../../json.ts";
import { ApiError } from "./errors.ts";

export interface BodyLimits {
  /** Bytes. */
  readonly most: number;
  /** Until all of it is here. */
  readonly seconds: number;
}

const tooLarge = (most: number): ApiError =>
  new ApiError(413, `the body has more than the ${most} bytes that this server reads`, { code: "request_too_large" });

/** Reads a body of JSON. Throws ApiError for what is too large, too slow or no JSON. */
export async function readJsonBody(request: Request, limits: BodyLimits): Promise<Json> {
  const [kind = ""] = (request.headers.get("content-type") ?? "").split(";");
  if (kind.trim().toLowerCase() !== "application/json")
    throw new ApiError(415, "the body should be JSON, with the header content-type: application/json");
  if (Number(request.headers.get("content-length") ?? 0) > limits.most) throw tooLarge(limits.most);
  const bytes = await readBytes(request, limits);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return parseJson(text, "the body").value;
  } catch (error) {
    // The text of a request stands in no message.
    if (error instanceof UserError || error instanceof TypeError) throw new ApiError(400, "the body is no valid JSON");
    throw error;
  }
}

async function readBytes(request: Request, { most, seconds }: BodyLimits): Promise<Uint8Array> {
  const reader = request.body?.getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  const late = Promise.withResolvers<never>();
  late.promise.catch(() => {});
  const told = new ApiError(408, `the body was not here within ${seconds} s`, { code: "request_timeout" });
  const timer = setTimeout(() => late.reject(told), 1000 * seconds);
  try {
    while (reader) {
      const { done, value } = await Promise.race([reader.read(), late.promise]);
      if (done) break;
      size += value.length;
      if (size > most) throw tooLarge(most);
      parts.push(value);
    }
  } catch (error) {
    reader?.cancel().catch(() => {});
    throw error instanceof ApiError ? error : new ApiError(400, "the body broke off");
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(parts);
}
