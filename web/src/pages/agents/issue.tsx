import type { UseFormRegisterReturn } from "react-hook-form";
import { grantable } from "@/api/agentKeys";
import type { Scope } from "@/api/fleet";

const SCOPE_NAMES: Record<Scope, string> = {
  "missions:read": "Read missions",
  "missions:work": "Claim and work on missions",
  "comments:write": "Write comments",
  "missions:create": "Create missions",
};

/** Returns what scopes let somebody do, in words. */
export const scopesInWords = (scopes: readonly string[]): string =>
  scopes.map((scope) => SCOPE_NAMES[scope as Scope]?.toLowerCase() ?? scope).join(", ");

/** What a key is for. */
export function ScopeBoxes({
  mayCreate,
  register,
  error,
}: {
  mayCreate: boolean;
  register: UseFormRegisterReturn;
  error?: string | undefined;
}) {
  return (
    <fieldset className="flex flex-col gap-1">
      <legend className="mb-1.5 font-medium">The key may</legend>
      {grantable(mayCreate).map((scope) => (
        <label key={scope} className="flex h-7 items-center gap-2">
          <input type="checkbox" value={scope} className="size-4 accent-accent" {...register} />
          {SCOPE_NAMES[scope]}
          <code className="ml-auto font-mono text-sm text-ink-3 max-sm:hidden">{scope}</code>
        </label>
      ))}
      {error !== undefined && <p className="text-sm text-bad">{error}</p>}
    </fieldset>
  );
}
