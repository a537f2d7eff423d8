import { useNavigate, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { useForm } from "react-hook-form";
import { problemOf } from "@/api/problem";
import { signIn } from "@/api/session";
import { Button } from "@/ui/Button";
import { Field, INPUT } from "@/ui/Field";

type Credentials = { email: string; password: string; workspace: string };

/** Signs a person in, and takes them to where they wanted to be. */
export default function SignInPage() {
  const { to } = useSearch({ from: "/sign-in" });
  const navigate = useNavigate();
  const [refusal, setRefusal] = useState<string | null>(null);
  const { register, handleSubmit, formState } = useForm<Credentials>();
  const { errors, isSubmitting } = formState;
  const submit = handleSubmit(async ({ email, password, workspace }) => {
    setRefusal(null);
    try {
      await signIn({ email, password, ...(workspace ? { workspace } : {}) });
      await navigate({ href: to ?? "/" });
    } catch (error) {
      setRefusal(problemOf(error).message);
    }
  });
  return (
    <main className="flex min-h-full items-center justify-center p-4">
      <title>Sign in · Mission Control</title>
      <form onSubmit={submit} noValidate className="flex w-full max-w-80 flex-col gap-4">
        <div className="mb-2 flex flex-col items-center gap-4">
          <img src="/icon.svg" alt="" width={40} height={40} />
          <h1 className="text-xl font-semibold">Sign in to Mission Control</h1>
        </div>
        <Field label="E-mail" error={errors.email?.message}>
          <input
            type="text"
            inputMode="email"
            autoComplete="username"
            autoCapitalize="none"
            className={INPUT}
            {...register("email", { required: "Your e-mail address, please." })}
          />
        </Field>
        <Field label="Password" error={errors.password?.message}>
          <input
            type="password"
            autoComplete="current-password"
            className={INPUT}
            {...register("password", { required: "Your password, please." })}
          />
        </Field>
        <Field label="Workspace" hint="Only where this server has several.">
          <input
            type="text"
            autoComplete="organization"
            className={INPUT}
            {...register("workspace")}
          />
        </Field>
        {refusal !== null && (
          <p role="alert" className="rounded-md bg-bad-soft px-3 py-2 text-bad">
            {refusal}
          </p>
        )}
        <Button type="submit" kind="primary" disabled={isSubmitting} className="h-9">
          {isSubmitting ? "Signing in" : "Sign in"}
        </Button>
      </form>
    </main>
  );
}
