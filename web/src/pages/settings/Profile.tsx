import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Monitor, Moon, Sun } from "lucide-react";
import { useState } from "react";
import { useForm } from "react-hook-form";
import { api } from "@/api/client";
import { problemOf } from "@/api/problem";
import { meQuery } from "@/api/queries";
import { forget } from "@/api/session";
import { cn } from "@/lib/text";
import type { Me } from "@/models/types";
import { setTheme, type Theme, useTheme } from "@/shell/theme";
import { toast } from "@/ui/announce";
import { Button } from "@/ui/Button";
import { Confirm } from "@/ui/Confirm";
import { Field, INPUT, SHORT_CHARS_MAX } from "@/ui/Field";
import { Loading } from "@/ui/states";
import { ROLE_WORDS } from "./roles";
import { Part, Section } from "./Section";

const PASSWORD_CHARS_MIN = 8;
const THEMES = [
  { value: "system", label: "Like the system", icon: Monitor },
  { value: "light", label: "Light", icon: Sun },
  { value: "dark", label: "Dark", icon: Moon },
] as const satisfies { value: Theme; label: string; icon: typeof Sun }[];

/** Who one is, how it looks here, and where one is signed in. */
export default function ProfileSection() {
  const { data: me } = useQuery(meQuery);
  return (
    <Section of="/settings/profile" about="How others see you, and how you sign in.">
      {me === undefined ? (
        <Loading />
      ) : (
        <>
          <Part title="You">
            <NameForm me={me} />
          </Part>
          <Part title="Theme" about="On this device.">
            <ThemeChoice />
          </Part>
          <Part title="Password" about="Changing it signs you out everywhere, here too.">
            <PasswordForm me={me} />
          </Part>
          <Part title="Sessions">
            <Sessions />
          </Part>
        </>
      )}
    </Section>
  );
}

function NameForm({ me }: { me: Me }) {
  const client = useQueryClient();
  const { register, handleSubmit, formState, setError, reset } = useForm({
    values: { name: me.name ?? "" },
  });
  const submit = handleSubmit(async ({ name }) => {
    try {
      await api.PUT("/api/members/me", { body: { name } });
      client.setQueryData(meQuery.queryKey, { ...me, name });
      reset({ name });
      toast("Your name was changed.");
    } catch (error) {
      setError("name", { message: problemOf(error).message });
    }
  });
  return (
    <form onSubmit={submit} noValidate className="flex flex-col gap-4">
      <Field label="Name" error={formState.errors.name?.message}>
        <input
          autoComplete="name"
          maxLength={SHORT_CHARS_MAX}
          className={INPUT}
          {...register("name", { required: "A name, please." })}
        />
      </Field>
      <dl className="grid grid-cols-[auto_1fr] gap-x-6 gap-y-1.5">
        <dt className="text-ink-3">E-mail</dt>
        <dd className="truncate">{me.email ?? "Unknown"}</dd>
        <dt className="text-ink-3">Role</dt>
        <dd>{ROLE_WORDS[me.role].name}</dd>
        <dt className="text-ink-3">Workspace</dt>
        <dd className="truncate">{me.workspace.name}</dd>
      </dl>
      <Button
        type="submit"
        kind="primary"
        className="self-start"
        disabled={!formState.isDirty || formState.isSubmitting}
      >
        Save
      </Button>
    </form>
  );
}

function ThemeChoice() {
  const { theme } = useTheme();
  return (
    <div role="radiogroup" aria-label="Theme" className="grid gap-2 sm:grid-cols-3">
      {THEMES.map(({ value, label, icon: Icon }) => (
        <label
          key={value}
          className={cn(
            "transition-quick flex h-10 cursor-pointer items-center gap-2.5 rounded-md border px-3 has-focus-visible:outline-2 has-focus-visible:outline-accent",
            theme === value ? "border-accent bg-accent-soft" : "border-line bg-raised",
          )}
        >
          <input
            type="radio"
            name="theme"
            className="sr-only"
            checked={theme === value}
            onChange={() => setTheme(value)}
          />
          <Icon size={15} aria-hidden className="text-ink-3" />
          {label}
        </label>
      ))}
    </div>
  );
}

type Passwords = { password: string; new_password: string; again: string };

function PasswordForm({ me }: { me: Me }) {
  const { register, handleSubmit, formState, setError, getValues } = useForm<Passwords>();
  const { errors, isSubmitting } = formState;
  const submit = handleSubmit(async ({ password, new_password }) => {
    try {
      await api.PUT("/api/members/me/password", {
        body: { email: me.email ?? "", password, new_password },
      });
    } catch (error) {
      const { field, message } = problemOf(error);
      setError(field === "new_password" ? "new_password" : "password", { message });
      return;
    }
    // The server has ended every session of this person, and this one with them.
    forget();
    toast("Your password was changed. Sign in with the new one.");
  });
  return (
    <form onSubmit={submit} noValidate className="flex flex-col gap-4">
      {/* For password managers: whose password this is. */}
      <input type="hidden" autoComplete="username" value={me.email ?? ""} readOnly />
      <Field label="Password so far" error={errors.password?.message}>
        <input
          type="password"
          autoComplete="current-password"
          className={INPUT}
          {...register("password", { required: "The password that you have now, please." })}
        />
      </Field>
      <div className="grid gap-4 sm:grid-cols-2">
        <Field
          label="New password"
          hint={`${PASSWORD_CHARS_MIN} characters at least.`}
          error={errors.new_password?.message}
        >
          <input
            type="password"
            autoComplete="new-password"
            className={INPUT}
            {...register("new_password", {
              required: "A new password, please.",
              minLength: {
                value: PASSWORD_CHARS_MIN,
                message: `${PASSWORD_CHARS_MIN} characters at least.`,
              },
            })}
          />
        </Field>
        <Field label="New password again" error={errors.again?.message}>
          <input
            type="password"
            autoComplete="new-password"
            className={INPUT}
            {...register("again", {
              validate: (again) => again === getValues("new_password") || "The two differ.",
            })}
          />
        </Field>
      </div>
      <Button type="submit" className="self-start" disabled={isSubmitting}>
        {isSubmitting ? "Changing" : "Change password"}
      </Button>
    </form>
  );
}

function Sessions() {
  const [isAsking, setAsking] = useState(false);
  return (
    <div className="flex flex-wrap items-center gap-3">
      <p className="min-w-0 flex-1 basis-56 text-ink-2">
        Every other browser and script that is signed in as you stops at once. This one goes on.
      </p>
      <Button onClick={() => setAsking(true)}>Sign out elsewhere</Button>
      {isAsking && (
        <Confirm
          title="Sign out elsewhere?"
          verb="Sign out elsewhere"
          run={async () => {
            await api.POST("/api/auth/sign-out-elsewhere");
            toast("You are signed in here alone.");
          }}
          onClose={() => setAsking(false)}
        >
          Every other session of yours ends. Agents and their keys go on working.
        </Confirm>
      )}
    </div>
  );
}
