namespace EdgeKV.Evaluation;

/// <summary>English words that synthetic samples are made of.</summary>
internal static class SyntheticWords
{
    /// <summary>Adjectives, each once.</summary>
    public static string[] Adjectives { get; } =
        """
        amber ancient angular arctic ashen autumn bashful bitter blithe blunt bold brave breezy brief bright brisk brittle broad bronze bulky
        busy calm candid careful chalky cheerful chilly civil clean clear clever cloudy clumsy coarse coastal cobalt cold comic compact cordial
        cosmic cozy crimson crisp crooked cryptic curious curly daily dainty damp daring dark dear deep delicate dense distant docile dreamy
        drowsy dry dull dusty eager early earnest eastern easy elastic elegant empty endless even exact faint fair faithful fallow famous
        fancy fearless feeble fertile festive fierce final firm flat fleet flinty floral fluent foggy fond formal fragile frank fresh friendly
        frosty frugal full fuzzy gentle genuine giant gilded glad gloomy glossy golden graceful grand grateful grave green grim gritty hale
        handy happy hardy hasty hazy hearty heavy hidden hollow honest humble humid hungry icy idle inland ivory jagged jolly joyful keen
        kind large late lavish lazy lean level light limber limp little lively local lofty lonely long loose loud loyal lucid lucky lunar
        magnetic marble maroon mellow merry mighty mild minor misty modest moist mossy muddy muted narrow native neat nimble noble northern
        novel numb oaken odd olive open orderly ornate oval pale patient peaceful placid plain pleasant plump polar polite prim private prompt
        proud public pure quaint quick quiet rapid rare ready regal remote rigid ripe robust rosy rough round royal rugged rural rusty
        salty sandy scarlet secret serene sharp sheer shiny short shy silent silky silver simple sincere sleek sleepy slender slim slow
        smooth snowy sober soft solar solemn solid somber southern spare sparse spicy stark steady steep stern stiff still stony stout strict
        sturdy subtle sudden sunny supple sweet swift tall tame tangy tawny tender thin thorny thrifty tidy timid tiny tough tranquil trim
        true urban useful vague valiant vast velvet vivid warm wary weary western wicked wide wild willing windy wise witty woolen young zesty
        """.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Nouns, each once, none of them an adjective of the other list.</summary>
    public static string[] Nouns { get; } =
        """
        acorn alley almond anchor ankle apple apron arbor arrow artist attic author avenue badge badger bakery balcony ballad bamboo banjo banner
        barley barn barrel basil basin basket beacon beaver bell bench berry bicycle biscuit blanket blossom boat bonnet border bottle boulder bowl
        bracelet branch bread bridge broom brother brush bucket buckle bugle bundle butter button cabin cable cactus camera canal candle canoe
        canvas canyon captain caravan cargo carpet carrot castle cavern cedar cellar chapel cherry chimney cider circle citadel clay cliff clock clover
        coal cobbler coffee collar comet compass concert copper corner cottage cotton cousin cradle crane crater cricket crown crystal cupboard curtain
        cushion dagger dairy daisy dancer desert diary ditch dolphin donkey dragon drawer drum dune eagle earring easel echo elbow elm ember
        engine envelope errand estuary fabric falcon farmer feather fence fern ferry fiddle field finch flagon flannel flask flute forest forge
        fountain fox furnace galaxy gallery garden garlic gate geyser ginger glacier glove goblet goose granite grape gravel grove guitar hammer
        hammock harbor harness harvest hatchet hawk hazel hedge helmet heron hinge honey horizon hornet hunter iceberg inlet inkwell island jacket jasmine
        jewel jigsaw journal judge jungle kennel kettle kitchen kite knapsack ladder ladle lagoon lamp lantern lark lattice laurel leather ledger lemon
        lentil letter library lighthouse lilac linen lizard locket lumber magnet magpie mallet mantle maple market marsh mason meadow melon merchant
        meteor mill mirror mitten monarch monument morning mortar mosaic mountain museum mustard napkin nectar needle nephew nest notebook novice nutmeg
        oasis ocean olivine onion orchard orchid organ otter oven oyster paddle painter palace panda paper parcel parlor parrot parsley pasture pebble
        pencil pepper piano picnic pigeon pillow pilot pine pitcher planet plaster plateau plaza plum pocket poet pond poplar porch potato prairie
        prism puddle pulley pumpkin puppet quarry quartz quill quilt rabbit radish raft railway rainbow raven reef ribbon ridge river robin rocket
        rooster rope rudder saddle saffron sailor salmon sapling satchel saucer scarf scholar school scissors seagull shadow shell shepherd shovel shutter sickle
        signal sister sketch sleeve slipper smith snail soldier sparrow spider spindle spoon spring squirrel stable stairway statue steeple stork stove
        stream street sugar summit sundial swallow tailor tavern teapot temple terrace thicket thimble thistle thunder timber toast tower tractor trellis trumpet
        tulip tunnel turnip turtle umbrella uncle valley vase veranda vessel village vine violin volcano wagon walnut walrus warden waterfall weaver whale
        wheat whisker whistle willow window winter wizard wolf workshop wren yard zebra zenith
        """.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);

    /// <summary>The word of a number, below <see cref="Count"/>: nouns and adjectives first, then two nouns in one word.</summary>
    public static string Word(int number)
    {
        int simple = Nouns.Length + Adjectives.Length;
        if (number < simple)
        {
            return number < Nouns.Length ? Nouns[number] : Adjectives[number - Nouns.Length];
        }

        (int first, int second) = Math.DivRem(number - simple, Nouns.Length);
        return Nouns[first] + Nouns[second];
    }

    /// <summary>Different words that there are.</summary>
    public static int Count => Nouns.Length + Adjectives.Length + Nouns.Length * Nouns.Length;
}
