import type { DescEnum, DescMessage, DescService } from "@bufbuild/protobuf";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { didYouMean } from "../../base/text/did-you-mean.ts";

/**
 * Says of a call in JSON that could not be read what was expected: protobuf-es names the type and what it found, but
 * not what there is.
 */
export class JsonErrors {
  private readonly messages = new Map<string, DescMessage>();
  private readonly enums = new Map<string, DescEnum>();

  constructor(service: DescService) {
    for (const { input } of service.methods) this.add(input);
  }

  /** The same answer, with an error of the JSON reader in words that help. */
  async explained(answer: UniversalServerResponse): Promise<UniversalServerResponse> {
    const { status, header, body } = answer;
    if (status !== 400 || header?.get("content-type") !== "application/json" || body === undefined) return answer;
    const parts: Uint8Array[] = [];
    for await (const part of body) parts.push(part);
    const text = Buffer.concat(parts).toString();
    const error = JSON.parse(text) as { message?: string };
    const message = this.explain(error.message ?? "");
    const bytes = Buffer.from(message === undefined ? text : JSON.stringify({ ...error, message }));
    header.delete("content-length");
    return { ...answer, body: only(bytes) };
  }

  /** The sentence that replaces an error of protobuf-es; undefined: it stays. */
  explain(problem: string): string | undefined {
    const [, type = "", key = ""] =
      /^cannot decode message (\S+) from JSON: key "(.*)" is unknown$/.exec(problem) ?? [];
    const message = this.messages.get(type);
    if (message !== undefined) {
      const known = message.fields.map(({ jsonName }) => jsonName);
      const hint = didYouMean(key, known) || `: expected one of ${known.join(", ")}`;
      return `${type} has no field "${key.slice(0, 100)}"${hint}`;
    }
    const [, name = "", found = ""] = /^cannot decode enum (\S+) from JSON: (.*)$/.exec(problem) ?? [];
    const values = this.enums
      .get(name)
      ?.values.slice(1)
      .map((value) => value.name);
    if (values === undefined) return undefined;
    return `${name} has no value ${found.slice(0, 100)}: expected one of ${values.join(", ")}`;
  }

  private add(message: DescMessage): void {
    if (this.messages.has(message.typeName)) return;
    this.messages.set(message.typeName, message);
    for (const field of message.fields) {
      if (field.enum !== undefined) this.enums.set(field.enum.typeName, field.enum);
      if (field.message !== undefined) this.add(field.message);
    }
  }
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  yield await Promise.resolve(bytes);
}
