using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;

namespace EdgeKV.Tests.Architecture;

/// <summary>
/// Which types a compiled type uses: its bases, interfaces, attributes, fields, signatures and locals, and every type, member and signature that the code
/// of its methods names. What the compiler makes of lambdas, iterators and asynchronous methods counts for the type that holds it.
/// </summary>
internal static class TypeUses
{
    private const BindingFlags All =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    private static readonly Dictionary<short, OpCode> Codes = typeof(OpCodes).GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(field => (OpCode)field.GetValue(null)!).ToDictionary(code => code.Value);

    /// <summary>The types that a type uses, without generic arguments and arrays, nested types as the outermost type that holds them.</summary>
    public static IReadOnlySet<Type> Of(Type type)
    {
        HashSet<Type> used = [];
        Add(used, type.BaseType);
        AddAll(used, type.GetInterfaces());
        AddAttributes(used, type);
        foreach (Type parameter in type.GetGenericArguments().Where(argument => argument.IsGenericParameter))
        {
            AddAll(used, parameter.GetGenericParameterConstraints());
        }

        foreach (FieldInfo field in type.GetFields(All))
        {
            Add(used, field.FieldType);
            AddAttributes(used, field);
        }

        foreach (PropertyInfo property in type.GetProperties(All))
        {
            Add(used, property.PropertyType);
            AddAttributes(used, property);
        }

        foreach (MethodBase method in type.GetMethods(All).Concat<MethodBase>(type.GetConstructors(All)))
        {
            AddSignature(used, method);
            AddAttributes(used, method);
            AddBody(used, method);
        }

        foreach (Type nested in type.GetNestedTypes(All))
        {
            used.UnionWith(Of(nested));
        }

        used.Remove(Outermost(type));
        return used;
    }

    /// <summary>The type itself, or the one that holds it.</summary>
    public static Type Outermost(Type type) => type.DeclaringType is { } holder ? Outermost(holder) : type;

    private static void AddAll(HashSet<Type> used, IEnumerable<Type> types)
    {
        foreach (Type type in types)
        {
            Add(used, type);
        }
    }

    private static void Add(HashSet<Type> used, Type? type)
    {
        if (type is null || type.IsGenericParameter)
        {
            return;
        }

        if (type.HasElementType)
        {
            Add(used, type.GetElementType());
            return;
        }

        if (type.IsFunctionPointer)
        {
            AddAll(used, type.GetFunctionPointerParameterTypes().Append(type.GetFunctionPointerReturnType()));
            return;
        }

        if (type.IsGenericType)
        {
            AddAll(used, type.GetGenericArguments());
            type = type.GetGenericTypeDefinition();
        }

        used.Add(Outermost(type));
    }

    private static void AddAttributes(HashSet<Type> used, MemberInfo member)
    {
        foreach (CustomAttributeData attribute in member.GetCustomAttributesData())
        {
            Add(used, attribute.AttributeType);
            AddAll(used, attribute.ConstructorArguments.Select(argument => argument.Value).OfType<Type>());
        }
    }

    private static void AddSignature(HashSet<Type> used, MethodBase method)
    {
        AddAll(used, method.GetParameters().Select(parameter => parameter.ParameterType));
        Add(used, (method as MethodInfo)?.ReturnType);
        if (method.IsGenericMethod)
        {
            AddAll(used, method.GetGenericArguments());
            AddAll(used, method.GetGenericArguments().Where(argument => argument.IsGenericParameter).SelectMany(argument => argument.GetGenericParameterConstraints()));
        }
    }

    private static void AddBody(HashSet<Type> used, MethodBase method)
    {
        if (method.GetMethodBody() is not { } body || body.GetILAsByteArray() is not { } code)
        {
            return;
        }

        AddAll(used, body.LocalVariables.Select(local => local.LocalType));
        AddAll(used, body.ExceptionHandlingClauses.Where(clause => clause.Flags == ExceptionHandlingClauseOptions.Clause).Select(clause => clause.CatchType!));
        Type[]? ofType = method.DeclaringType!.IsGenericType ? method.DeclaringType.GetGenericArguments() : null;
        Type[]? ofMethod = method.IsGenericMethod ? method.GetGenericArguments() : null;
        for (int at = 0; at < code.Length;)
        {
            short value = code[at++];
            OpCode instruction = Codes[value == 0xfe ? (short)(0xfe00 | code[at++]) : value];
            switch (instruction.OperandType)
            {
                case OperandType.InlineField or OperandType.InlineMethod or OperandType.InlineTok or OperandType.InlineType:
                    AddMember(used, method.Module.ResolveMember(BitConverter.ToInt32(code, at), ofType, ofMethod)!);
                    break;
                case OperandType.InlineSwitch:
                    at += 4 * BitConverter.ToInt32(code, at);
                    break;
            }

            at += Size(instruction.OperandType);
        }
    }

    private static void AddMember(HashSet<Type> used, MemberInfo member)
    {
        if (member is Type type)
        {
            Add(used, type);
            return;
        }

        Add(used, member.DeclaringType);
        if (member is FieldInfo field)
        {
            Add(used, field.FieldType);
        }
        else if (member is MethodBase method && !method.IsDefined(typeof(CompilerGeneratedAttribute), inherit: false))
        {
            AddSignature(used, method);
        }
    }

    private static int Size(OperandType operand) => operand switch
    {
        OperandType.InlineNone => 0,
        OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
        OperandType.InlineVar => 2,
        OperandType.InlineI8 or OperandType.InlineR => 8,
        _ => 4,
    };
}
