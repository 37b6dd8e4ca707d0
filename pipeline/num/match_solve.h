/* The 4x4 equations of a register of pixels: spk_match_solve_px(), its quotients and roots from the processor's estimates and a step of
 * Newton's, which leaves an error of some 2^-22. The including file brings `vec` and what goes with it. */

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

/* The pivots, their reciprocals and the factors of LDL^T. */
struct factors {
    vec i0, i1, i2, i3, l10, l20, l30, l21, l31, l32;
};

static inline vec lift(vec pivot, vec diagonal)
{
    return LARGER(pivot, 1e-6f * diagonal);
}

static inline struct factors factorise(const vec a[SPK_NORMALS])
{
    const vec a01 = a[SPK_NORMAL_TK], a02 = a[SPK_NORMAL_TX], a03 = a[SPK_NORMAL_TY];
    const vec a11 = a[SPK_NORMAL_KK], a22 = a[SPK_NORMAL_XX], a33 = a[SPK_NORMAL_YY];
    struct factors f;
    f.i0 = reciprocal(a[SPK_NORMAL_TT]);
    f.l10 = a01 * f.i0, f.l20 = a02 * f.i0, f.l30 = a03 * f.i0;
    f.i1 = reciprocal(lift(a11 - f.l10 * a01, a11));
    const vec c21 = a[SPK_NORMAL_KX] - f.l20 * a01, c31 = a[SPK_NORMAL_KY] - f.l30 * a01;
    f.l21 = c21 * f.i1, f.l31 = c31 * f.i1;
    f.i2 = reciprocal(lift(a22 - f.l20 * a02 - f.l21 * c21, a22));
    const vec c32 = a[SPK_NORMAL_XY] - f.l30 * a02 - f.l31 * c21;
    f.l32 = c32 * f.i2;
    f.i3 = reciprocal(lift(a33 - f.l30 * a03 - f.l31 * c31 - f.l32 * c32, a33));
    return f;
}

static inline void substitute(const struct factors *f, const vec b[4], vec p[4])
{
    const vec z1 = b[1] - f->l10 * b[0], z2 = b[2] - f->l20 * b[0] - f->l21 * z1;
    const vec z3 = b[3] - f->l30 * b[0] - f->l31 * z1 - f->l32 * z2;
    p[3] = z3 * f->i3;
    p[2] = z2 * f->i2 - f->l32 * p[3];
    p[1] = z1 * f->i1 - f->l21 * p[2] - f->l31 * p[3];
    p[0] = b[0] * f->i0 - f->l10 * p[1] - f->l20 * p[2] - f->l30 * p[3];
}

/* The diagonal of the inverse. */
static inline void variances(const struct factors *f, vec v[4])
{
    const vec m20 = f->l21 * f->l10 - f->l20, m31 = f->l32 * f->l21 - f->l31;
    const vec m30 = f->l31 * f->l10 - f->l30 - f->l32 * m20;
    v[3] = f->i3;
    v[2] = f->i2 + f->l32 * f->l32 * f->i3;
    v[1] = f->i1 + f->l21 * f->l21 * f->i2 + m31 * m31 * f->i3;
    v[0] = f->i0 + f->l10 * f->l10 * f->i1 + m20 * m20 * f->i2 + m30 * m30 * f->i3;
}

/* Without dark-field K moves with T: column K joins column T and drops out. */
static inline void tie_contrast(vec a[SPK_NORMALS])
{
    a[SPK_NORMAL_TT] += 2 * a[SPK_NORMAL_TK] + a[SPK_NORMAL_KK];
    a[SPK_NORMAL_TX] += a[SPK_NORMAL_KX];
    a[SPK_NORMAL_TY] += a[SPK_NORMAL_KY];
    a[SPK_NORMAL_T] += a[SPK_NORMAL_K];
    a[SPK_NORMAL_KK] = (vec){0} + 1.0f;
    a[SPK_NORMAL_TK] = a[SPK_NORMAL_KX] = a[SPK_NORMAL_KY] = a[SPK_NORMAL_K] = (vec){0};
}

static inline void solve_vector(const struct spk_solve_row *r, unsigned i, float expected, const bool tied)
{
    const float ridge = 1e-3f;
    vec a[SPK_NORMALS], p[4], v[4];
    for (unsigned j = 0; j < SPK_NORMALS; j++)
        a[j] = load(r->normal + j * r->plane + i);
    if (tied)
        tie_contrast(a);
    a[SPK_NORMAL_TT] += ridge;
    a[SPK_NORMAL_KK] += ridge;
    a[SPK_NORMAL_XX] += ridge;
    a[SPK_NORMAL_YY] += ridge;
    const struct factors f = factorise(a);
    const vec b[4] = {a[SPK_NORMAL_T], a[SPK_NORMAL_K], a[SPK_NORMAL_X], a[SPK_NORMAL_Y]};
    const vec variance = r->spread * LARGER(expected * a[SPK_NORMAL_CHI2], (vec){0} + 1.0f);
    substitute(&f, b, p);
    variances(&f, v);
    for (unsigned j = 0; j < 4; j++) {
        const unsigned from = tied && j == 1 ? 0 : j;
        store(r->estimate + j * r->out_plane + i, p[from]);
        store(r->error + j * r->out_plane + i, root(v[from] * variance));
    }
}

static void solve_row(const struct spk_solve_row *r)
{
    const float expected = r->frames > 0 ? 1 / r->frames : 0;
    unsigned i = 0;
    for (; r->dark_field && i + LANES <= r->width; i += LANES)
        solve_vector(r, i, expected, false);
    for (; !r->dark_field && i + LANES <= r->width; i += LANES)
        solve_vector(r, i, expected, true);
    solve_pixels(r, i);
}
