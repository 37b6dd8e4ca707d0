/* The 4x4 equations of a register of pixels, as spk_match_solve_px() solves them up to rounding. Quotients and roots come from the processor's
 * estimates and a step of Newton's, which leaves an error of some 2^-22. The including file brings `vec` and what goes with it. */

static inline vec reciprocal(vec a)
{
#if LANES == 16
    const vec guess = (vec)_mm512_rcp14_ps((__m512)a);
#else
    const vec guess = (vec)_mm256_rcp_ps((__m256)a);
#endif
    return guess + guess * (1 - a * guess);
}

/* Of positive numbers. */
static inline vec root(vec a)
{
#if LANES == 16
    const vec guess = (vec)_mm512_rsqrt14_ps((__m512)a);
#else
    const vec guess = (vec)_mm256_rsqrt_ps((__m256)a);
#endif
    const vec first = a * guess;
    return first + first * (0.5f - 0.5f * first * guess);
}

/* The equations in blocks of two, (T, K) and (ux, uy), each inverted by its determinant: a chain half as long as that of four pivots, for
 * which a processor would wait. A is the first block, S what it leaves of the second, W = A^-1 B with B the block between them. */
struct blocks {
    vec a00, a01, a11, s22, s23, s33;
    vec inverse_a, inverse_s; /* of the determinants */
    vec w02, w12, w03, w13;
};

static inline vec lift(vec pivot, vec diagonal)
{
    return LARGER(pivot, 1e-6f * diagonal);
}

static inline struct blocks eliminate(const vec g[SPK_NORMALS])
{
    const vec b02 = g[SPK_NORMAL_TX], b12 = g[SPK_NORMAL_KX], b03 = g[SPK_NORMAL_TY], b13 = g[SPK_NORMAL_KY];
    const vec g22 = g[SPK_NORMAL_XX], g33 = g[SPK_NORMAL_YY];
    struct blocks k = {.a00 = g[SPK_NORMAL_TT], .a01 = g[SPK_NORMAL_TK], .a11 = g[SPK_NORMAL_KK]};
    const vec square = k.a00 * k.a11;
    k.inverse_a = reciprocal(lift(square - k.a01 * k.a01, square));
    k.w02 = k.inverse_a * (k.a11 * b02 - k.a01 * b12), k.w12 = k.inverse_a * (k.a00 * b12 - k.a01 * b02);
    k.w03 = k.inverse_a * (k.a11 * b03 - k.a01 * b13), k.w13 = k.inverse_a * (k.a00 * b13 - k.a01 * b03);
    k.s22 = lift(g22 - b02 * k.w02 - b12 * k.w12, g22);
    k.s33 = lift(g33 - b03 * k.w03 - b13 * k.w13, g33);
    k.s23 = g[SPK_NORMAL_XY] - b02 * k.w03 - b12 * k.w13;
    k.inverse_s = reciprocal(lift(k.s22 * k.s33 - k.s23 * k.s23, k.s22 * g33));
    return k;
}

static inline void substitute(const struct blocks *k, const vec g[SPK_NORMALS], vec p[4])
{
    const vec b0 = g[SPK_NORMAL_T], b1 = g[SPK_NORMAL_K];
    const vec z2 = g[SPK_NORMAL_X] - k->w02 * b0 - k->w12 * b1;
    const vec z3 = g[SPK_NORMAL_Y] - k->w03 * b0 - k->w13 * b1;
    p[2] = k->inverse_s * (k->s33 * z2 - k->s23 * z3);
    p[3] = k->inverse_s * (k->s22 * z3 - k->s23 * z2);
    p[0] = k->inverse_a * (k->a11 * b0 - k->a01 * b1) - k->w02 * p[2] - k->w03 * p[3];
    p[1] = k->inverse_a * (k->a00 * b1 - k->a01 * b0) - k->w12 * p[2] - k->w13 * p[3];
}

/* w^T S^-1 w, never below 0. */
static inline vec spread_of(const struct blocks *k, vec w2, vec w3)
{
    const vec sum = w2 * (k->s33 * w2 - k->s23 * w3) + w3 * (k->s22 * w3 - k->s23 * w2);
    return k->inverse_s * LARGER(sum, (vec){0});
}

/* The diagonal of the inverse. */
static inline void variances(const struct blocks *k, vec v[4])
{
    v[0] = k->inverse_a * k->a11 + spread_of(k, k->w02, k->w03);
    v[1] = k->inverse_a * k->a00 + spread_of(k, k->w12, k->w13);
    v[2] = k->inverse_s * k->s33;
    v[3] = k->inverse_s * k->s22;
}

static inline void solve_vector(const struct spk_solve_row *r, unsigned i, float expected)
{
    const float ridge = 1e-3f;
    vec a[SPK_NORMALS], p[4], v[4];
    for (unsigned j = 0; j < SPK_NORMALS; j++)
        a[j] = load(r->normal + j * r->plane + i);
    a[SPK_NORMAL_TT] += ridge;
    a[SPK_NORMAL_KK] += ridge;
    a[SPK_NORMAL_XX] += ridge;
    a[SPK_NORMAL_YY] += ridge;
    const struct blocks blocks = eliminate(a);
    const vec variance = r->spread * LARGER(expected * a[SPK_NORMAL_CHI2], (vec){0} + 1.0f);
    substitute(&blocks, a, p);
    variances(&blocks, v);
    for (unsigned j = 0; j < 4; j++) {
        store(r->estimate + j * r->out_plane + i, p[j]);
        store(r->error + j * r->out_plane + i, root(v[j] * variance));
    }
}

/* Without dark-field three unknowns are left, which the loop over pixels solves. */
static void solve_row(const struct spk_solve_row *r)
{
    const float expected = r->frames > 0 ? 1 / r->frames : 0;
    unsigned i = 0;
    for (; r->dark_field && i + LANES <= r->width; i += LANES)
        solve_vector(r, i, expected);
    solve_pixels(r, i);
}
